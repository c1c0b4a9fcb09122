"""`frieze.map`: images as points on a plane, as one page or as files of TensorBoard's Projector."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import core, terminal
from frieze.api.paths import open_table, to_local_path
from frieze.core import Rows
from frieze.reports.html import check_page, write_page
from frieze.reports.projection import check_method, choose_rows, lay_out, read_rows, to_document
from frieze.reports.tensorboard import write_projector
from frieze.reports.thumbnails import draw_url

if TYPE_CHECKING:
    from frieze.features import Features

_MOST_PICTURES = 2000
_PICTURE_PX = 96
_PARTS = ("static/style.css", "templates/map.html", "templates/plane.html")
_SCRIPTS = ("dom.js", "offline.js", "map.js")


def map(  # noqa: A001  the command's own name
    features: str | Path, *, out: str | Path, method: str = "pca", projector: bool = False, force: bool = False
) -> dict[str, Any]:
    """Project the images of a table to a plane, at most 100,000 of them, and write the map as one page.

    The page opens without a server. It holds thumbnails of 2,000 images, evenly spread over the table; others show
    their ids.

    Args:
        features: The table's folder.
        out: The HTML file; with `projector` a folder.
        method: `pca`, which preserves distances as far as two axes can, or `umap` (pip install 'frieze[umap]'), which
            preserves neighbourhoods.
        projector: Write the embeddings for TensorBoard's Projector instead: tensors.tsv, metadata.tsv and
            projector_config.pbtxt.
        force: Replace an existing folder of `projector`.

    Returns:
        `out`, `points`, `rows` of the table, and for a page `method`, `kept` (share of the variance that the plane
        keeps, null for UMAP) and `pictures`.

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
        points = lay_out(np.concatenate(list(read_rows(table, rows))), rows, method=method)
        document = to_document(points, table.ids[rows].tolist(), *_encode_labels(table, rows))
        pictures = _draw_thumbnails(table, rows)
    write_page(out_path, title=f"Map of {table.path.name}", **_page(document | {"pictures": pictures}))
    return summary | {"method": method, "kept": points.kept, "pictures": len(pictures)}


def _encode_labels(table: "Features", rows: Rows) -> tuple[list[str], Rows]:
    """Return the sorted label names, and the number of each row's label; -1 for none."""
    labels = table.labels[rows]
    names = sorted({label for label in labels if label is not None})
    numbers = {name: number for number, name in enumerate(names)}
    return names, np.array([numbers.get(label, -1) for label in labels], np.int64)


def _draw_thumbnails(table: "Features", rows: Rows) -> dict[str, str]:
    """Draw thumbnails of some images, evenly spread over the rows: id -> data URL; missing images are left out."""
    shown = rows[:: max(1, -(-len(rows) // _MOST_PICTURES))]
    uris = table.rows["uri"]
    with ThreadPoolExecutor(core.count_cores()) as pool:
        urls = pool.map(_draw, [uris[int(row)].as_py() for row in shown])
        return {table.ids[row]: url for row, url in zip(shown, urls, strict=True) if url is not None}


def _draw(uri: str) -> str | None:
    try:
        return draw_url(uri, _PICTURE_PX)
    except core.ImageError:
        return None


def _page(document: dict[str, Any]) -> dict[str, str]:
    """Give the style and body of the page: the served page's own map, with its data and script inside."""
    web = files("frieze.web")
    style, body, plane = ((web / name).read_text("utf-8") for name in _PARTS)
    data = json.dumps(document, ensure_ascii=True).replace("<", "\\u003c")  # no text can end the element it stands in
    script = "\n".join(_inlined((web / "static" / name).read_text("utf-8")) for name in _SCRIPTS)
    parts = {"PLANE": plane, "DATA": data, "SCRIPT": script}
    # In one pass: an id or a picture may hold one of these words.
    return {"style": style, "body": re.sub("|".join(parts), lambda word: parts[word[0]], body)}


def _inlined(script: str) -> str:
    """Take what joins modules out of one: in one page they stand one after the other."""
    return re.sub(r"^(import .*?;\n|export )", "", script, flags=re.MULTILINE)
