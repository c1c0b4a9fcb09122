"""Long lists of names and long texts, shortened for a message."""

from collections.abc import Sequence


def shorten(names: Sequence[str], *, most: int = 5) -> str:
    """Join the first few of many names.

    >>> shorten(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def truncate(text: str, *, most: int) -> str:
    """Truncate a long text.

    >>> truncate("abc", most=3), truncate("abcd", most=3)
    ('abc', 'abc...')
    """
    return text if len(text) <= most else f"{text[:most]}..."
