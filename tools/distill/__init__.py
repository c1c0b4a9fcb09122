"""The making of Frieze's built-in backbone: a small network taught by larger ones on unlabelled images."""
