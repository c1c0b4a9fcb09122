"""Filters on the columns of an index: `--where`."""
