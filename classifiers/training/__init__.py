"""Training of heads: grid search on folds, fit, calibration, notes."""
