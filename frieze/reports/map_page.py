"""The map of a table as one page, which opens without a server: the served page's map with its points inside."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze import core
from frieze.core import Rows
from frieze.reports.html import write_page
from frieze.reports.templates import to_base64
from frieze.reports.thumbnails import draw_url

if TYPE_CHECKING:
    from frieze.features import Features

_MOST_PICTURES = 2000
_PICTURE_PX = 96


def write_map_page(path: Path, document: dict[str, Any], table: "Features", rows: Rows) -> int:
    """Write a map as one page.

    Args:
        path: The HTML file; replaced atomically.
        document: The map, as `to_document` returns it.
        table: The table.
        rows: int64 [n], the rows of the points; 2,000 of them, evenly spread, get a thumbnail.

    Returns:
        The number of thumbnails.

    Raises:
        InputError: `path` is something else than a page of ours.
    """
    pictures = _draw_thumbnails(table, rows)
    scripts = {
        f"{name}_js": to_base64(f"{name}.js") for name in ("dom", "map", "point_grid", "region_names", "scatter")
    }
    title = f"Map of {table.path.name}"
    write_page(path, "map.html", title=title, document=document | {"pictures": pictures}, **scripts)
    return len(pictures)


def _draw_thumbnails(table: "Features", rows: Rows) -> dict[str, str]:
    """Draw thumbnails of some images, evenly spread over the rows: id -> data URL; missing images are left out."""
    shown = rows[:: max(1, -(-len(rows) // _MOST_PICTURES))]
    uris = table.rows["uri"]
    with ThreadPoolExecutor(core.count_cores()) as pool:
        urls = pool.map(lambda row: _draw(uris[int(row)].as_py(), table.spec.decoding), shown)
        return {table.ids[row]: url for row, url in zip(shown, urls, strict=True) if url is not None}


def _draw(uri: str, decoding: str) -> str | None:
    try:
        return draw_url(uri, _PICTURE_PX, decoding=decoding)
    except core.ImageError:
        return None
