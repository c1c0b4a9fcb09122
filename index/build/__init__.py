"""Build an index: choose its kind, train and fill it, tune its search to the recall asked for."""
