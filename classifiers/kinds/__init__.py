"""The kinds of heads, one a file."""
