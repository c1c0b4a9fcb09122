"""The formats in which a table of features is exported."""

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from frieze.api.export_folder import count_bytes
from frieze.api.exports.atlas_file import check_atlas, write_atlas
from frieze.api.exports.csv_file import check_csv, write_csv
from frieze.api.exports.datasets_file import check_datasets, write_datasets
from frieze.api.exports.fiftyone_folder import check_fiftyone, write_fiftyone
from frieze.api.exports.lance_folder import check_lance, write_lance
from frieze.api.exports.rows import ExportRows
from frieze.api.folder_kinds import check_kind
from frieze.api.paths import open_table, to_local_path
from frieze.core import InputError


class TableFormat(NamedTuple):
    """A format.

    Attributes:
        check: (out, force) -> nothing; raises a FeatureFileError where `out` can't be written.
        write: (rows, out, force, vectors) -> notes on what is not in it. `vectors`: add the vectors, where they are
            optional.
        opened_by: What opens it, to type; `{out}` is its path, `{quoted}` the same for a shell, `{parent}` and `{stem}`
            are parts of it.
        has_vectors: Whether it has the vectors in any case.
    """

    check: Callable[..., None]
    write: Callable[..., list[str]]
    opened_by: str
    has_vectors: bool = True


TABLE_FORMATS = {
    "csv": TableFormat(
        check_csv, write_csv, 'python -c "import pandas; print(pandas.read_csv({out!r}))"', has_vectors=False
    ),
    "datasets": TableFormat(
        check_datasets, write_datasets, 'python -c "import datasets; print(datasets.Dataset.from_parquet({out!r}))"'
    ),
    "embedding-atlas": TableFormat(
        check_atlas, write_atlas, "embedding-atlas {quoted} --x x --y y --neighbors neighbors --image image"
    ),
    "fiftyone": TableFormat(
        check_fiftyone,
        write_fiftyone,
        'python -c "import fiftyone as fo; data = fo.Dataset.from_dir({out!r}, fo.types.FiftyOneDataset);'
        ' fo.launch_app(data).wait()"',
    ),
    "lance": TableFormat(
        check_lance, write_lance, 'python -c "import lancedb; print(lancedb.connect({parent!r}).open_table({stem!r}))"'
    ),
}
"""Name -> format of a table."""


def export_table(
    features: str | Path, out: Path, name: str, *, predictions: str | Path | None, vectors: bool, force: bool
) -> dict[str, Any]:
    """Write a table in a format of `TABLE_FORMATS`; the parameters are those of `frieze.export`.

    Returns:
        `out`, `format`, `rows`, `opened_by` (what to type), `bytes`, `notes`, `stale` of the head that predicts, and
        `seconds`.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    started, table_format = time.perf_counter(), TABLE_FORMATS[name]
    if vectors and table_format.has_vectors:
        raise InputError(f"`format={name!r}` has the vectors in any case.", hint="Leave `vectors` out.")
    rows = _open_rows(features, predictions)
    table_format.check(out, force=force)
    notes = table_format.write(rows, out, force=force, vectors=vectors)
    names = {"out": str(out), "quoted": shlex.quote(str(out)), "parent": str(out.parent), "stem": out.stem}
    return {
        "out": str(out),
        "format": name,
        "rows": len(rows.table),
        "opened_by": table_format.opened_by.format(**names),
        "bytes": count_bytes(out),
        "notes": notes,
        "stale": None if rows.head is None else rows.head.staleness(),
        "seconds": time.perf_counter() - started,
    }


def _open_rows(features: str | Path, predictions: str | Path | None) -> ExportRows:
    table = open_table(features)
    if predictions is None:
        return ExportRows(table)
    import frieze.classifiers

    check_kind(to_local_path(predictions), "head")
    head = frieze.classifiers.open_head(to_local_path(predictions))
    frieze.classifiers.check_backbone(head, table)
    return ExportRows(table, head)
