"""The options of a run: recalled from the run before where left out, and written as Python or as command-line flags."""

import shlex
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class RecalledOptions(NamedTuple):
    """The options of a run, and where their values come from.

    Attributes:
        options: Every option; one that was left out has the value of the run before, or the default.
        remembered: Options taken from the run before that differ from the default.
        changed: Options that the run before had otherwise: their values `before` and `now`.
    """

    options: dict[str, Any]
    remembered: dict[str, Any]
    changed: dict[str, dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return the fields for the JSON document of a run."""
        return {"remembered": self.remembered, "changed": self.changed}


def recall_options(
    given: Mapping[str, Any],
    before: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    dropped: Collection[str] = (),
) -> RecalledOptions:
    """Complete the given options with those of the run before, then with the defaults.

    Args:
        given: The options of this run.
        before: The options of the run before; empty where there was none.
        defaults: The default of every option.
        dropped: Options of the run before that conflict with those of this run.

    >>> recall_options({"seed": 1}, {"seed": 0, "group": "day"}, {"seed": 0, "group": None, "shots": None})
    RecalledOptions(options={'seed': 1, 'group': 'day', 'shots': None}, remembered={'group': 'day'}, \
changed={'seed': {'before': 0, 'now': 1}})
    """
    kept = {name: value for name, value in before.items() if name not in dropped}
    now = {**defaults, **kept, **given}
    return RecalledOptions(
        now,
        {name: kept[name] for name in kept if name not in given and kept[name] != defaults[name]},
        {name: {"before": before[name], "now": now[name]} for name in before if before[name] != now[name]},
    )


def to_command_line(options: Mapping[str, Any]) -> str:
    """Return options as they are typed on the command line; None becomes an empty text.

    >>> to_command_line({"max_pixels": 9, "exclude": ["*.gif", "old"], "accept_truncated": False, "layer": None})
    "--max-pixels 9 --exclude '*.gif' --exclude old --no-accept-truncated --layer ''"
    """
    return " ".join(word for name, value in options.items() for word in _to_options(name.replace("_", "-"), value))


def _to_options(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = (value or [None]) if isinstance(value, list) else [value]
    return [f"--{name} {shlex.quote('' if one is None else str(one))}" for one in values]


def to_parameters(options: Mapping[str, Any]) -> str:
    """Return options as parameters of a Python call, in backticks, as messages name them.

    >>> to_parameters({"max_pixels": 9, "exclude": ["*.gif"], "accept_truncated": False})
    "`max_pixels=9, exclude=['*.gif'], accept_truncated=False`"
    """
    return f"`{', '.join(f'{name}={value!r}' for name, value in options.items())}`"
