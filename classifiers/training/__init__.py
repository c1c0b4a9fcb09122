"""Training by the protocol: folds, the setting, the fit."""
