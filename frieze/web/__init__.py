"""The page: one process over an index that is already there."""
