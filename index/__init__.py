"""Embeddings to neighbours: FAISS indexes that say what recall they were measured at."""

import os

from index.browsing import (
    count_labels,
    label_codes,
    label_rows,
    look_up,
    name_columns,
    read_vectors,
    select,
    take,
)
from index.building import build_index
from index.duplicates import check_min_score, find_duplicates
from index.kinds import KINDS
from index.search import Index, open_index

# Before FAISS is loaded: left alone, its threads wait for each other by spinning, and where other programs work on the
# same cores nothing gets done meanwhile (measured there: a quantiser trained in 1 s instead of 12 to 50).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = [
    "KINDS",
    "Index",
    "build_index",
    "check_min_score",
    "count_labels",
    "find_duplicates",
    "label_codes",
    "label_rows",
    "look_up",
    "name_columns",
    "open_index",
    "read_vectors",
    "select",
    "take",
]
