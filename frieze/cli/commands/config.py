"""`frieze config`."""

from typing import Any

import click

from frieze.cli import options

_COLUMNS = ("command", "option", "value", "from")


@click.command(epilog="Example: frieze config embed")
@click.argument("command", required=False)
@options.as_json
def config(*, command: str | None, as_json: bool) -> None:
    """List the defaults of options that variables and files set; of one COMMAND all options.

    An option comes first, then the variable FRIEZE_COMMAND_OPTION, then frieze.toml or [tool.frieze] in
    pyproject.toml, of this folder or the nearest above it, then the command's own default.
    """
    from frieze import terminal
    from frieze.cli.main import main

    context = click.Context(main)
    known = tuple(main.list_commands(context))
    names = known if command is None else (command,)
    rows = [row for name in names for row in _rows(name, known, is_whole=command is not None)]
    if as_json:
        terminal.show_json(rows)
    elif rows or not terminal.is_terminal():
        terminal.show_table([row | {"value": _shown(row["value"])} for row in rows], _COLUMNS)
    else:
        terminal.show_message("Nothing is set: no FRIEZE_COMMAND_OPTION, no frieze.toml, no [tool.frieze].")


def _rows(name: str, known: tuple[str, ...], *, is_whole: bool) -> list[dict[str, Any]]:
    """Return a row for each option that is set; with the defaults of others where the list is to be whole.

    Raises:
        BadParameter: There is no such command.
    """
    from frieze.cli.main import main
    from frieze.cli.settings import read_settings

    command = main.get_command(click.Context(main), name)
    if command is None:
        raise click.BadParameter(f"There is no command {name}.", param_hint="COMMAND")
    settings = {one.name: one for one in read_settings(command, name, known)}
    options_of_command = [one for one in command.params if isinstance(one, click.Option)]
    return [
        {
            "command": name,
            "option": max(one.opts, key=len),
            "value": settings[one.name].value if one.name in settings else _default(one, command),
            "from": settings[one.name].origin if one.name in settings else "default",
        }
        for one in options_of_command
        if is_whole or one.name in settings
    ]


def _default(option: click.Option, command: click.Command) -> Any:
    """Return an option's own default; None for one that is omitted."""
    value = option.get_default(click.Context(command))
    return value if isinstance(value, str | int | float | bool) else None


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
