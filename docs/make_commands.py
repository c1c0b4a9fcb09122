"""Write docs/commands.md from the help texts of the command line; with --check, only report whether it is stale."""

import sys
from pathlib import Path

import click

from frieze.cli.main import main

_TARGET = Path(__file__).parent / "commands.md"
_HEAD = """# Commands

Written by `make docs` from `frieze COMMAND --help`; do not edit.

Results go to stdout, everything else to stderr; `--json` puts exactly one JSON document on stdout. Exit codes: 0 done,
1 failed with a hint how to fix it, 2 wrong usage, 3 done but some inputs were skipped, 4 `search --exists`
did not find a picture, 130 stopped by Ctrl-C (a page that is served ends with 0).
"""


def render() -> str:
    """Return the whole page."""
    parent = click.Context(main, info_name="frieze")
    sections = [_HEAD, _section("frieze", main, parent)]
    for name in main.list_commands(parent):
        command = main.get_command(parent, name)
        sections.append(_section(f"frieze {name}", command, click.Context(command, info_name=name, parent=parent)))
    return "\n".join(sections)


def _section(title: str, command: click.Command, context: click.Context) -> str:
    context.terminal_width = context.max_content_width = 100
    return f"## {title}\n\n```\n{command.get_help(context)}\n```\n"


def _main() -> int:
    page = render()
    if "--check" not in sys.argv:
        _TARGET.write_text(page, encoding="utf-8")
        return 0
    is_fresh = _TARGET.exists() and _TARGET.read_text(encoding="utf-8") == page
    if not is_fresh:
        print(f"{_TARGET.name} is stale: run make docs", file=sys.stderr)
    return 0 if is_fresh else 1


if __name__ == "__main__":
    sys.exit(_main())
