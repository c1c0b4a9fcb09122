"""A run on a Ray cluster: driver, workers, scheduling."""
