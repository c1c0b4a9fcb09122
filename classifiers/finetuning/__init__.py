"""Training a backbone together with its head."""
