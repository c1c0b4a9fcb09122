"""A head in its folder."""
