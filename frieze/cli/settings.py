"""Defaults of options from variables (`FRIEZE_EMBED_BACKBONE`), and from `frieze.toml` or `[tool.frieze]`.

An option of the command line comes first, then a variable, then the file, then the command's own default.
"""

import difflib
import os
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

PREFIX = "FRIEZE"
_NOT_SET = ("out", "force", "yes", "move_to", "undo", "trust_backbone", "as_json", "help", "script", "html")
"""Options that write, replace, move or trust something, or shape what programs read: each call gives them anew."""
_REMEMBERING = {"embed": "features", "index": "index", "train": "head", "finetune": "head"}
"""Commands whose output stores its options -> the kind of folder they write."""
_OF_ONE_RUN = ("limit", "workers", "ray", "cpus_per_worker", "max_build_memory")
"""Options of these that no output stores; nor does a head the `max_memory` of its training."""


class Setting(NamedTuple):
    """A default that the user set.

    Attributes:
        name: The option's parameter.
        value: Its value.
        origin: The variable's name, or the file's path.
    """

    name: str
    value: Any
    origin: str


def find_file(folder: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Find the nearest frieze.toml, or pyproject.toml with `[tool.frieze]`, of a folder and those above it.

    Returns:
        The file and its tables by command; None where there is none.

    Raises:
        InputError: The file is no TOML.
    """
    for one in (folder, *folder.parents):
        for name, keys in (("frieze.toml", ()), ("pyproject.toml", ("tool", "frieze"))):
            document: Any = _read_toml(one / name)
            for key in keys:
                document = (document or {}).get(key)
            if document is not None:
                return one / name, document
    return None


def _read_toml(path: Path) -> dict[str, Any] | None:
    """Read a file; None where there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        if path.name == "pyproject.toml":  # of another tool, which reports it
            return None
        raise _input_error(f"{path} can't be read: {error}.", "Correct the file, or rename it.") from error
    except OSError:
        return None


def read_settings(command: click.Command, name: str, known: tuple[str, ...]) -> list[Setting]:
    """Return what the user set for a command, variables first.

    Args:
        command: The command.
        name: Its name.
        known: The names of all commands.

    Raises:
        InputError: A name is unknown, or a value is wrong; the message names variable or file.
    """
    options = {one.name or "": one for one in command.params if isinstance(one, click.Option)}
    options = {key: option for key, option in options.items() if key not in _NOT_SET}
    settings = [*_of_variables(options, name)]
    given = {one.name for one in settings}
    return settings + [one for one in _of_file(options, name, known) if one.name not in given]


def _of_variables(options: Mapping[str, click.Option], name: str) -> Iterator[Setting]:
    prefix = f"{PREFIX}_{name.upper()}_"
    for variable, text in sorted(os.environ.items()):
        if variable.startswith(prefix) and text:
            key = variable.removeprefix(prefix).lower()
            option = _option(options, key, variable)
            value = shlex.split(text) if option.multiple else text
            yield Setting(key, _parse(option, value, variable), variable)


def _of_file(options: Mapping[str, click.Option], name: str, known: tuple[str, ...]) -> Iterator[Setting]:
    file = find_file(Path.cwd())
    if file is None:
        return
    path, tables = file
    for table, values in tables.items():
        if table not in known or not isinstance(values, dict):
            near = _nearest(table, known)
            raise _input_error(f"{path}: {table} is no table of a command{near}.", "See: frieze --help")
    for key, value in tables.get(name, {}).items():
        parameter = key.replace("-", "_")
        option = _option(options, parameter, f"{path}: [{name}] {key}")
        yield Setting(parameter, _parse(option, value, f"{path}: [{name}] {key}"), str(path))


def _option(options: Mapping[str, click.Option], key: str, origin: str) -> click.Option:
    """Return an option by name.

    Raises:
        InputError: There is none, or it is one that each call gives anew.
    """
    if key in options:
        return options[key]
    if key in _NOT_SET:
        raise _input_error(f"{origin} can't be set: it is given anew with each command.", "Delete it.")
    near = _nearest(key, tuple(options))
    raise _input_error(f"{origin} is no option of the command{near}.", "See: frieze COMMAND --help")


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; the nearest is {near[0].replace('_', '-')}" if near else ""


def _parse(option: click.Option, value: Any, origin: str) -> Any:
    """Return a value as the option takes it.

    Raises:
        InputError: It takes no such value.
    """
    values = [value] if option.multiple and not isinstance(value, list) else value
    if isinstance(value, bool) != option.is_flag and not (option.is_flag and isinstance(value, str)):
        raise _input_error(f"{origin}: {value!r} is no value of {option.opts[-1]}.", "See: frieze COMMAND --help")
    try:
        option.type_cast_value(click.Context(click.Command("frieze")), values)
    except click.BadParameter as error:
        raise _input_error(f"{origin}: {error.message}", "See: frieze COMMAND --help") from error
    return values


def _input_error(message: str, hint: str) -> Exception:
    from frieze.core import InputError  # here, so that --help does not wait for NumPy

    return InputError(message, hint=hint)


def to_default_map(settings: list[Setting], command: click.Command, name: str) -> dict[str, Any]:
    """Return the defaults as click takes them.

    A table, an index and a head store their options, and keep them: of one that exists, no setting changes an option
    that it stores.
    """
    stored = _stored_options(command, name) if name in _REMEMBERING else set()
    return {one.name: _unless_stored(one, name) if one.name in stored else one.value for one in settings}


def _stored_options(command: click.Command, name: str) -> set[str]:
    context = click.Context(command)
    defaults = {one.name or "": one.get_default(context) for one in command.params}
    omitted = {name for name, value in defaults.items() if not isinstance(value, str | int | float | bool)}
    return omitted - {*_OF_ONE_RUN, *(["max_memory"] if name == "train" else [])}


def _unless_stored(setting: Setting, name: str) -> Callable[[], Any]:
    """Return a function for the setting's value, None where the output exists; click calls it once `--out` is read."""

    def value() -> Any:
        context = click.get_current_context()
        outs = context.params.get("out")
        if not any(_exists(one, _REMEMBERING[name]) for one in (outs if isinstance(outs, list) else [outs])):
            return setting.value
        context.meta.setdefault(__name__, []).append(setting)
        return None

    return value


def _exists(out: str | None, kind: str) -> bool:
    from frieze.api.folder_kinds import FILES
    from frieze.api.paths import to_local_or_bucket_path

    return out is not None and (to_local_or_bucket_path(out) / FILES[kind]).is_file()


def describe_conflicts(document: Mapping[str, Any]) -> list[str]:
    """Return a line for each setting that differs from what the output of a command stores.

    Args:
        document: The command's document, with `remembered`.
    """
    context = click.get_current_context(silent=True)
    kept: list[Setting] = [] if context is None else context.meta.get(__name__, [])
    stored = document.get("remembered", {})
    return [
        f"{one.name} = {one.value} of {one.origin} does not change what exists; for that give the option itself."
        for one in kept
        if stored.get(one.name) != one.value and [stored.get(one.name)] != one.value
    ]
