"""Embeddings to neighbours: FAISS indexes that say what recall they were measured at."""

from index.building import build_index
from index.duplicates import find_duplicates
from index.kinds import KINDS
from index.search import Index, open_index

__all__ = ["KINDS", "Index", "build_index", "find_duplicates", "open_index"]
