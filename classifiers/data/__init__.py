"""Labelled embeddings and their splits."""
