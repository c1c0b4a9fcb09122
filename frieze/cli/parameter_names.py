"""Messages of the Python library in the words of the command line: its parameters become options."""

import ast
import re
import shlex
from collections.abc import Collection

import click

_QUOTED = re.compile(r"""`(?P<code>[a-z]\w*(?:`|=(?:'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[^`'"\n])+`))""")
"""A name in backticks, or one or more `name=value`; a text among the values may hold backticks itself."""


def to_flags(text: str, command: click.Command, *, kept: Collection[str] = ()) -> str:
    """Replace the parameters in a message by the options of a command, as they are typed.

    What names anything else than options of this command stays as it is, such as its arguments.

    Args:
        text: A message or hint; parameters are in backticks, alone or with values, as Python code.
        command: The command that ran.
        kept: Names that stay as they are.

    >>> option = click.Option(["--metric"])
    >>> to_flags("Leave `metric` out, or use `metric='cosine'`.", click.Command("index", params=[option]))
    'Leave --metric out, or use --metric cosine.'
    """
    options = {one.name or "": one for one in command.params if isinstance(one, click.Option) and one.name not in kept}

    def typed(match: re.Match[str]) -> str:
        typed_options = _typed(match["code"].removesuffix("`"), options)
        return match[0] if typed_options is None else " ".join(typed_options)

    return _QUOTED.sub(typed, text)


def _typed(code: str, options: dict[str, click.Option]) -> list[str] | None:
    """Return what to type for code such as `out` or `k=3, where='a < b'`; None where it is no options with values."""
    if code in options:
        return [_flag(options[code])]
    source = f"f({code})"
    try:
        call = ast.parse(source, mode="eval").body
        keywords = call.keywords if isinstance(call, ast.Call) and not call.args else []
        typed_options = [_option(options[str(one.arg)], one.value, source) for one in keywords]
    except (SyntaxError, KeyError, ValueError):
        return None
    return typed_options or None


def _option(option: click.Option, node: ast.expr, source: str) -> str:
    """Return an option with its value.

    Raises:
        ValueError: It takes no such value.
    """
    value = ast.literal_eval(node)
    if isinstance(value, bool) != option.is_flag:
        raise ValueError(value)
    if isinstance(value, bool):
        return _flag(option, is_on=value)
    if isinstance(value, int | float):
        return f"{_flag(option)} {ast.get_source_segment(source, node)}"  # as it is written: 1e-4, not 0.0001
    texts = value or [""] if isinstance(value, list) and option.multiple else [value]
    if not all(isinstance(one, str) for one in texts):
        raise ValueError(value)
    return " ".join(f"{_flag(option)} {shlex.quote(one)}" for one in texts)


def _flag(option: click.Option, *, is_on: bool = True) -> str:
    """Return the longest spelling of an option, or of the one that turns it off.

    Raises:
        ValueError: Nothing turns it off.
    """
    return max(option.opts if is_on else option.secondary_opts, key=len)
