"""`frieze import`."""

from typing import Any

import click

from frieze.cli import options


@click.command("import", epilog="Example: frieze import vectors.npy --ids names.txt --out photos.features")
@click.argument("vectors")
@options.out("Folder of the table; resumed where it was started from the same files.")
@click.option("--id", metavar="COLUMN", help="Column of the ids.  [default: id, else the row's number]")
@click.option("--embedding", metavar="COLUMN", help="Column of the vectors.  [default: embedding, or the only one]")
@click.option("--label", metavar="COLUMN", help="Column of the labels.  [default: label]")
@click.option("--ids", metavar="FILE", help="Ids for a .npy file: text, one per line, or a .npy of strings.")
@options.force
@options.verbose
@options.as_json
def import_vectors(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Import vectors made elsewhere into a table of features.

    VECTORS is a .npy file [N, D], a Parquet file or a folder of them with a column of lists of numbers (folders
    name=value become a column), or the folder that clip-retrieval made. Rows that can't be used are listed in
    failures.parquet, and the exit code is 3.
    """
    from frieze.api import tables

    document = tables.import_vectors(parameters.pop("vectors"), **parameters)
    options.show("import", document, as_json=as_json, verbose=verbose)
    options.warn_of_vectors(document)
    options.end(document, where=f"see {document['out']}/failures.parquet", unit="row")
