"""The templates, stylesheet and scripts of pages that open without a server."""

import base64
import functools
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


@functools.cache
def environment() -> "jinja2.Environment":
    """Return the Jinja2 environment: everything in a page is escaped unless a template says otherwise."""
    import jinja2  # here, so that `frieze --help` does not wait for it

    return jinja2.Environment(
        loader=jinja2.PackageLoader("frieze.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(name: str, **context: Any) -> str:
    """Render a page of its own, which holds its stylesheet.

    Args:
        name: File of the template.
        **context: Its variables.
    """
    import markupsafe

    style = markupsafe.Markup(read_static("style.css"))  # noqa: S704  a file of ours
    return environment().get_template(name).render(style=style, **context)


def read_static(name: str) -> str:
    """Return the text of a stylesheet or script."""
    return (files("frieze.reports") / "static" / name).read_text("utf-8")


def to_base64(name: str) -> str:
    """Return a script for a data URL, from which a page without a server imports it as a module."""
    return base64.b64encode(read_static(name).encode()).decode()
