"""Embeddings to neighbours: FAISS indexes that say what recall they were measured at."""

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
from index.index_files import read_document
from index.kinds import KINDS
from index.search import Index, mend_width, open_index

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
    "mend_width",
    "name_columns",
    "open_index",
    "read_document",
    "read_vectors",
    "select",
    "take",
]
