"""Text of messages: counts in the singular or plural, shortened lists and texts."""

from collections.abc import Sequence


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the singular or plural.

    >>> counted(1, "row"), counted(1200, "row"), counted(0, "match", "matches")
    ('1 row', '1,200 rows', '0 matches')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


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
