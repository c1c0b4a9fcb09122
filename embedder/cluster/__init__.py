"""A run on a Ray cluster: driver, worker pool, scheduler, workers, results."""
