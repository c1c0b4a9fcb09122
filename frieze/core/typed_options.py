"""Options as command-line flags, for messages that say what to type."""

import shlex
from collections.abc import Mapping
from typing import Any


def to_command_line(options: Mapping[str, Any]) -> str:
    """Return options as they are typed on the command line; None becomes an empty text.

    >>> to_command_line({"max_pixels": 9, "exclude": ["*.gif", "old"], "accept_truncated": False, "layer": None})
    "--max-pixels 9 --exclude '*.gif' --exclude old --no-accept-truncated --layer ''"
    """
    return " ".join(word for name, value in options.items() for word in _words(name.replace("_", "-"), value))


def _words(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = (value or [None]) if isinstance(value, list) else [value]
    return [f"--{name} {shlex.quote('' if one is None else str(one))}" for one in values]
