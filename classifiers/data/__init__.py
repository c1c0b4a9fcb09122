"""Labelled embeddings, and how they are split."""
