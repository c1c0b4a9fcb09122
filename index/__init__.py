"""Embeddings to neighbours: FAISS indexes that say what recall they were measured at."""

import os

from index.building import build_index
from index.duplicates import find_duplicates
from index.kinds import KINDS
from index.search import Index, open_index

# Before FAISS is loaded: its threads wait for each other by spinning, for milliseconds, and where other programs work
# on the same cores nothing gets done meanwhile (measured: 400 queries a second, not 18,000). So they soon sleep.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__all__ = ["KINDS", "Index", "build_index", "find_duplicates", "open_index"]
