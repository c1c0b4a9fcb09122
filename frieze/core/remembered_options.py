"""Options that a run leaves out are as the run before it had them: how a command that runs again fills them in."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class Recalled(NamedTuple):
    """The options of a run, and how they came about.

    Attributes:
        asked: Every option; one that was left out has the value of the run before, or the default.
        remembered: Those that the run before brought and that are not the default.
        changed: Those that the run before was asked for otherwise: their values `before` and `now`.
    """

    asked: dict[str, Any]
    remembered: dict[str, Any]
    changed: dict[str, dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return what the document of a run says of its options."""
        return {"remembered": self.remembered, "changed": self.changed}


def fill_in(
    given: Mapping[str, Any],
    before: Mapping[str, Any],
    defaults: Mapping[str, Any],
    *,
    dropped: Collection[str] = (),
) -> Recalled:
    """Fill in the options that were left out with those of the run before, then with the defaults.

    Args:
        given: What is asked for now.
        before: What the run before was asked for; empty where there was none.
        defaults: The value of every option that nobody asks for.
        dropped: Options of the run before that mean nothing beside what is asked for now.

    >>> fill_in({"seed": 1}, {"seed": 0, "group": "day"}, {"seed": 0, "group": None, "shots": None})
    Recalled(asked={'seed': 1, 'group': 'day', 'shots': None}, remembered={'group': 'day'}, \
changed={'seed': {'before': 0, 'now': 1}})
    """
    kept = {name: value for name, value in before.items() if name not in dropped}
    now = {**defaults, **kept, **given}
    return Recalled(
        now,
        {name: kept[name] for name in kept if name not in given and kept[name] != defaults[name]},
        {name: {"before": before[name], "now": now[name]} for name in before if before[name] != now[name]},
    )
