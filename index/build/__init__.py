"""Build an index: choose its kind, train it and add rows, tune its search to a recall target; refresh it."""
