"""Long lists of names and long texts, shortened for a message."""

from collections.abc import Sequence


def shorten(names: Sequence[str], *, most: int = 5) -> str:
    """Name the first few of many.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def truncate(text: str, *, most: int) -> str:
    """Give a text, or the beginning of one that is long.

    >>> truncate("abc", most=3), truncate("abcd", most=3)
    ('abc', 'abc...')
    """
    return text if len(text) <= most else f"{text[:most]}..."
