"""Held-out figures, comparisons and predictions of fitted heads."""
