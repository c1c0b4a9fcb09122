"""The stored-feature contract: schema, spec, reader, writer, errors, and exact top_k in NumPy."""

from features.arrays import Floats, Rows, Strings, unit_rows
from features.buckets import BucketPath, check_plain, is_remote, open_bucket, to_table_path
from features.checksums import (
    check_files,
    check_listed,
    find_altered,
    has_list,
    is_as_written,
    write_hashed,
    write_listed,
)
from features.comparison import Comparison, compare
from features.errors import OUT_OF_MEMORY, FeatureFileError, ImageError, InputError, MismatchError, ModelError
from features.exact import METRICS, top_k
from features.exact_text import to_text
from features.files import (
    check_free,
    clear_errors,
    hash_file,
    new_folder,
    read_json,
    read_json_text,
    read_unchanged,
    replace_folder,
    write_file,
    write_json,
    write_text,
    write_whole,
)
from features.importing import check_can_embed, import_vectors
from features.leftovers import held_folder, sweep_leftovers, temporary_folder
from features.listing import EMPTY_FOLDER, Failure, Listing, count_reasons, first_of_each, read_failures, to_failures
from features.lock import lock
from features.machine import (
    CoreTimes,
    count_cores,
    cpu_share,
    free_memory,
    peak_memory,
    read_core_times,
    resident_memory,
    trim_memory,
)
from features.manifest import Manifest, Part, is_features, read_manifest
from features.ownership import check_is_only_ours, check_is_ours
from features.parts import read_part, write_part
from features.plan import Plan, Shard, make_plan
from features.plural import counted
from features.quiet import environment, import_keras, import_tensorflow, import_tensorflow_hub, seeded
from features.ray_cluster import as_input_error, connected, results, unseen
from features.reader import Features, open_features
from features.remembered_options import Recalled, fill_in
from features.schema import LISTING, OURS, PART, free_names, part_schema, to_embeddings, to_part, user_columns
from features.shortened import beginning, shorten
from features.sizes import read_size, write_size
from features.spec import BackboneSpec, check_same_backbone, is_same_backbone
from features.succession import succession, successor_of
from features.table_files import check_table_file, check_writable, to_finite, write_table_file
from features.typed_options import as_typed
from features.vanished import count_vanished, keep_rows_of_empty
from features.vector_files import VectorOptions
from features.vector_tables import partition_values
from features.verification import verify_features
from features.writer import FeatureWriter, going_on, open_writer, read_stored

__all__ = [
    "EMPTY_FOLDER",
    "LISTING",
    "METRICS",
    "OURS",
    "OUT_OF_MEMORY",
    "PART",
    "BackboneSpec",
    "BucketPath",
    "Comparison",
    "CoreTimes",
    "Failure",
    "FeatureFileError",
    "FeatureWriter",
    "Features",
    "Floats",
    "ImageError",
    "InputError",
    "Listing",
    "Manifest",
    "MismatchError",
    "ModelError",
    "Part",
    "Plan",
    "Recalled",
    "Rows",
    "Shard",
    "Strings",
    "VectorOptions",
    "as_input_error",
    "as_typed",
    "beginning",
    "check_can_embed",
    "check_files",
    "check_free",
    "check_is_only_ours",
    "check_is_ours",
    "check_listed",
    "check_plain",
    "check_same_backbone",
    "check_table_file",
    "check_writable",
    "clear_errors",
    "compare",
    "connected",
    "count_cores",
    "count_reasons",
    "count_vanished",
    "counted",
    "cpu_share",
    "environment",
    "fill_in",
    "find_altered",
    "first_of_each",
    "free_memory",
    "free_names",
    "going_on",
    "has_list",
    "hash_file",
    "held_folder",
    "import_keras",
    "import_tensorflow",
    "import_tensorflow_hub",
    "import_vectors",
    "is_as_written",
    "is_features",
    "is_remote",
    "is_same_backbone",
    "keep_rows_of_empty",
    "lock",
    "make_plan",
    "new_folder",
    "open_bucket",
    "open_features",
    "open_writer",
    "part_schema",
    "partition_values",
    "peak_memory",
    "read_core_times",
    "read_failures",
    "read_json",
    "read_json_text",
    "read_manifest",
    "read_part",
    "read_size",
    "read_stored",
    "read_unchanged",
    "replace_folder",
    "resident_memory",
    "results",
    "seeded",
    "shorten",
    "succession",
    "successor_of",
    "sweep_leftovers",
    "temporary_folder",
    "to_embeddings",
    "to_failures",
    "to_finite",
    "to_part",
    "to_table_path",
    "to_text",
    "top_k",
    "trim_memory",
    "unit_rows",
    "unseen",
    "user_columns",
    "verify_features",
    "write_file",
    "write_hashed",
    "write_json",
    "write_listed",
    "write_part",
    "write_size",
    "write_table_file",
    "write_text",
    "write_whole",
]
