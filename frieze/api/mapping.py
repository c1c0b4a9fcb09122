"""`frieze.map`: images as points on a plane, as one page or as files of TensorBoard's Projector."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import terminal
from frieze.api.paths import open_table, to_local_path
from frieze.core import Rows
from frieze.reports.html import check_page
from frieze.reports.map_page import write_map_page
from frieze.reports.projection import check_method, choose_rows, project_stored, read_rows, to_document
from frieze.reports.tensorboard import write_projector

if TYPE_CHECKING:
    from frieze.features import Features


def map(  # noqa: A001  the command's own name
    features: str | Path, *, out: str | Path, method: str = "tsne", projector: bool = False, force: bool = False
) -> dict[str, Any]:
    """Project the images of a table to a plane, at most 100,000 of them, and write the map as one page.

    The page opens without a server. It holds thumbnails of 2,000 images, evenly spread over the table; others show
    their ids.

    Args:
        features: The table's folder.
        out: The HTML file; with `projector` a folder.
        method: `tsne` or `umap` (pip install 'frieze[umap]'), which preserve neighbourhoods, or `pca`, which preserves
            distances as far as two axes can. Fewer than 50 images are projected by PCA where t-SNE is asked for.
        projector: Write the embeddings for TensorBoard's Projector instead: tensors.tsv, metadata.tsv and
            projector_config.pbtxt.
        force: Replace an existing folder of `projector`.

    Returns:
        `out`, `points`, `rows` of the table, and for a page `method` (the one that was used), `kept` (share of the
        variance that the plane keeps, null but for PCA) and `pictures`.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    out_path = to_local_path(out)
    check_method(method)
    table = open_table(features)
    rows = choose_rows(len(table))
    summary = {"out": str(out_path), "points": len(rows), "rows": len(table)}
    if projector:
        write_projector(table, rows, out_path, force=force)
        return summary
    check_page(out_path)
    with terminal.spinner("Projecting"):
        points = project_stored(functools.partial(read_rows, table), rows, method=method)
        document = to_document(points, table.ids[rows].tolist(), *_encode_labels(table, rows))
        n_pictures = write_map_page(out_path, document, table, rows)
    return summary | {"method": points.method, "kept": points.kept, "pictures": n_pictures}


def _encode_labels(table: "Features", rows: Rows) -> tuple[list[str], Rows]:
    """Return the sorted label names, and the number of each row's label; -1 for none."""
    labels = table.labels[rows]
    names = sorted({label for label in labels if label is not None})
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers.get(label, -1) for label in labels], np.int64)
