"""Exports of a table of features: one file a format, for the programs that open them."""
