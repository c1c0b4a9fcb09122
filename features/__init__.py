"""The stored-feature contract: schema, spec, reader, writer, import of vectors, and exact top_k in NumPy."""

from frieze.features.data_frames import image_cell, import_library
from frieze.features.diff import Comparison, compare
from frieze.features.exact_search import METRICS, top_k
from frieze.features.failures import EMPTY_FOLDER, Failure, count_reasons, read_failures, to_failures
from frieze.features.importers.exact_text import to_text
from frieze.features.importers.formats import VectorOptions
from frieze.features.importers.job import check_can_embed, import_vectors
from frieze.features.importers.parquet import partition_values
from frieze.features.int8_graph import read_graph, write_graph
from frieze.features.manifest import Manifest, Part, is_features, read_manifest
from frieze.features.part_files import read_part, write_part
from frieze.features.paths import check_only_table_files, check_table_dir
from frieze.features.perceptual_hash import HASH_VERSION, Hashes, hash_images, orient_hashes
from frieze.features.picture_statistics import STATISTICS, STATISTICS_VERSION, measure_pictures
from frieze.features.plan import Plan, Shard, make_plan
from frieze.features.reader import Features, are_multilabel, is_list, open_features
from frieze.features.replacement import remove_if_refused, replace_table, successor_of
from frieze.features.schema import (
    BOX_PATTERN,
    HASHES,
    LISTING,
    OURS,
    PART,
    free_names,
    part_schema,
    perceptual_hash_columns,
    statistics_columns,
    to_embeddings,
    to_part,
    user_columns,
)
from frieze.features.spec import BackboneSpec, check_same_backbone, is_same_backbone
from frieze.features.staged_parts import clear_staged_parts, move_staged_part, staged_file, staging_path
from frieze.features.stored_rows import read_stored
from frieze.features.vanished_folders import count_vanished, keep_rows_of_empty
from frieze.features.verify import verify_features
from frieze.features.writer import FeatureWriter, open_writer, resume_manifest

__all__ = [
    "BOX_PATTERN",
    "EMPTY_FOLDER",
    "HASHES",
    "HASH_VERSION",
    "LISTING",
    "METRICS",
    "OURS",
    "PART",
    "STATISTICS",
    "STATISTICS_VERSION",
    "BackboneSpec",
    "Comparison",
    "Failure",
    "FeatureWriter",
    "Features",
    "Hashes",
    "Manifest",
    "Part",
    "Plan",
    "Shard",
    "VectorOptions",
    "are_multilabel",
    "check_can_embed",
    "check_only_table_files",
    "check_same_backbone",
    "check_table_dir",
    "clear_staged_parts",
    "compare",
    "count_reasons",
    "count_vanished",
    "free_names",
    "hash_images",
    "image_cell",
    "import_library",
    "import_vectors",
    "is_features",
    "is_list",
    "is_same_backbone",
    "keep_rows_of_empty",
    "make_plan",
    "measure_pictures",
    "move_staged_part",
    "open_features",
    "open_writer",
    "orient_hashes",
    "part_schema",
    "partition_values",
    "perceptual_hash_columns",
    "read_failures",
    "read_graph",
    "read_manifest",
    "read_part",
    "read_stored",
    "remove_if_refused",
    "replace_table",
    "resume_manifest",
    "staged_file",
    "staging_path",
    "statistics_columns",
    "successor_of",
    "to_embeddings",
    "to_failures",
    "to_part",
    "to_text",
    "top_k",
    "user_columns",
    "verify_features",
    "write_graph",
    "write_part",
]
