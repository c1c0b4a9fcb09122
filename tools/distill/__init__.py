"""Distillation of the built-in backbone: a small student learns larger teachers' embeddings of unlabelled images."""
