"""Image sources: one file a kind, each of which opens a `Source`."""

from frieze.embedder.sources.base import Content, File, Source, SourceOptions
from frieze.embedder.sources.boxes.crop import split_part
from frieze.embedder.sources.files import read_uri, to_path
from frieze.embedder.sources.in_memory import as_images, encode
from frieze.embedder.sources.open import LABELS, has_columns, is_listed_as, open_source, read_image
from frieze.embedder.sources.tables.column_names import LABEL as LABEL_COLUMNS
from frieze.embedder.sources.tables.labels import LABELS_OVER, LabelFile, read_labels

__all__ = [
    "LABELS",
    "LABELS_OVER",
    "LABEL_COLUMNS",
    "Content",
    "File",
    "LabelFile",
    "Source",
    "SourceOptions",
    "as_images",
    "encode",
    "has_columns",
    "is_listed_as",
    "open_source",
    "read_image",
    "read_labels",
    "read_uri",
    "split_part",
    "to_path",
]
