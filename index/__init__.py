"""Index embeddings with FAISS and search them: build, tune to a recall target, filter, find near-duplicates."""

from frieze.indexing.build.build import build_index
from frieze.indexing.duplicates.decide import ReadPicture
from frieze.indexing.duplicates.find import check_min_score, find_duplicates
from frieze.indexing.duplicates.pair_processes import PairProcesses
from frieze.indexing.duplicates.stored_copies import (
    NewImages,
    StoredCopies,
    find_equal_files,
    find_stored_copies,
    scores_of,
    self_scores,
)
from frieze.indexing.faiss_layer.kinds import KINDS
from frieze.indexing.filters.conjuncts import Conjunct, join_filters, quote_column, quote_text
from frieze.indexing.neighbours import Edges, find_neighbours, measure_graph_recall
from frieze.indexing.storage.generations import read_document
from frieze.indexing.storage.staleness import describe_staleness
from frieze.indexing.stored_index import Index, open_index, width_hint
from frieze.indexing.stored_rows import (
    column_types,
    count_labels,
    filter_rows,
    id_rows,
    known_rows,
    label_codes,
    label_rows,
    look_up,
    read_columns,
    read_hashes,
    read_vectors,
    split_filter,
    take_rows,
)

__all__ = [
    "KINDS",
    "Conjunct",
    "Edges",
    "Index",
    "NewImages",
    "PairProcesses",
    "ReadPicture",
    "StoredCopies",
    "build_index",
    "check_min_score",
    "column_types",
    "count_labels",
    "describe_staleness",
    "filter_rows",
    "find_duplicates",
    "find_equal_files",
    "find_neighbours",
    "find_stored_copies",
    "id_rows",
    "join_filters",
    "known_rows",
    "label_codes",
    "label_rows",
    "look_up",
    "measure_graph_recall",
    "open_index",
    "quote_column",
    "quote_text",
    "read_columns",
    "read_document",
    "read_hashes",
    "read_vectors",
    "scores_of",
    "self_scores",
    "split_filter",
    "take_rows",
    "width_hint",
]
