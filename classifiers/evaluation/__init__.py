"""Evaluation, comparison and predictions of stored heads."""
