"""Counts with a noun in the singular or plural, for messages."""


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the singular or plural.

    >>> counted(1, "row"), counted(1200, "row"), counted(0, "match", "matches")
    ('1 row', '1,200 rows', '0 matches')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
