"""Backbones whose weights can be trained."""
