"""Files of labels: labels and other columns, joined to images by id."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import InputError, is_remote
from frieze.embedder.sources.base import Source, SourceOptions
from frieze.embedder.sources.files import open_uri, stat_uri, to_uri
from frieze.embedder.sources.label_lists import LABELS, find_label_lists, join_label_lists, split_label_lists
from frieze.embedder.sources.tables.column_names import ID, LABEL, PATH, choose_column
from frieze.embedder.sources.tables.infer_types import infer_types, replace_missing
from frieze.embedder.sources.tables.manifest import split_columns
from frieze.embedder.sources.tables.name_matching import match_by_name
from frieze.embedder.sources.tables.read import (
    SUFFIXES,
    UNTYPED,
    missing_header_hint,
    read_header,
    read_notes,
    read_table,
)
from frieze.embedder.sources.tables.referenced_images import check_ids, first_ids
from frieze.embedder.sources.unicode_text import VARIATIONS, match_normalized, normalize_names

LABELS_OVER = b"frieze.labels"
"""Key in the metadata of a Parquet file whose labels stand over those of a table: other images keep theirs."""
_NO_ID = "none of its ids is an id that frieze wrote"
_HINT = (
    "Pass `labels` a CSV, TSV, JSONL or Parquet file with one row an image: its id as frieze writes it (the path below"
    ' the source) in a column "id" or "path", its label in a column "label" or the one that `label` names.'
)
_REPEATED_HINT = "Keep one row for each image, with the label that is right."
_SOURCE_HINT = f"{_HINT} Name any other column of ids with `id`; `labels` may also be folder or none."


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """The content of a file of labels; use `read_labels`.

    Attributes:
        uri: Its absolute path or URL.
        label: Name of its column of labels.
        ids: Text [n], unique; rows without an id are dropped.
        labels: Text [n], null for none.
        columns: The other columns [n] if they were read, under their stored names.
        hint: Hint for a file that does not match the images.
        notes: Sentences about rows that are read in a way the user may not expect.
        lists: Lists of texts [n] where images have several labels, none included; None where each has one or is null.
        is_over: Whether images without a label here keep the one that they have.
    """

    uri: str
    label: str
    ids: pa.ChunkedArray
    labels: pa.ChunkedArray
    columns: pa.Table
    hint: str
    notes: tuple[str, ...] = ()
    lists: pa.ChunkedArray | None = None
    is_over: bool = False

    def over(self, labels: pa.ChunkedArray, at: pa.ChunkedArray) -> tuple[pa.ChunkedArray, tuple[str, ...]]:
        """Join the labels to images that have labels already.

        Args:
            labels: Those labels [N].
            at: The row of each image [N], from `find`.

        Returns:
            labels: Text [N]: the file's, and where `is_over` and it has none, those that the images have.
            notes: A sentence with the counts where `is_over`.
        """
        joined = self.labels.take(at)
        if not self.is_over:
            return joined, ()
        n = len(joined) - joined.null_count
        joined = pc.coalesce(joined, labels.cast(joined.type))
        n_other = len(joined) - joined.null_count - n
        return joined, (f"Labels from {self.uri}: {n:,}; other images keep the labels that they have: {n_other:,}.",)

    def find(self, ids: pa.ChunkedArray, *, of: str) -> "Match":
        """Match images to rows: by id or, where no id matches, by file name.

        Args:
            ids: Ids of the images [N], unique.
            of: What the images belong to, for the message: `source` or `table`.

        Raises:
            InputError: No row matches an image, or file names are ambiguous.
        """
        (at, n_spelled), matched_by = match_normalized(ids, self.ids), None
        is_begun = bool(len(self.ids)) or not self.is_over  # a page's file without a label yet corrects nothing
        if len(ids) and is_begun and not pc.any(at.is_valid()).as_py():
            matched = match_by_name(ids, self.ids, uri=self.uri, hint=self.hint)
            if matched is None:
                raise InputError(
                    f"{self.uri} names no image of the {of}:"
                    f" its ids are {first_ids(self.ids)}, the {of}'s {first_ids(ids)}.",
                    hint=self.hint,
                )
            at, matched_by = matched
        notes = () if matched_by is None else (f"{self.uri} was matched by {matched_by}: {_NO_ID}.",)
        if n_spelled:
            n = f"{n_spelled:,} ({VARIATIONS})"
            notes = (f"Ids of {self.uri} that are spelled differently from those of their images: {n}.",)
        n_unmatched = len(self.ids) - pc.count_distinct(at, "only_valid").as_py()
        return Match(at, n_unmatched, (*self.notes, *notes, *self._note_capitals(ids, at)))

    def _note_capitals(self, ids: pa.ChunkedArray, at: pa.ChunkedArray) -> Iterator[str]:
        """Return a note where unmatched rows differ from unmatched images in capital letters only."""
        rows = pc.is_in(pa.array(range(len(self.ids)), pa.int32()), at.combine_chunks())
        left, missing = self.ids.filter(pc.invert(rows)), pc.utf8_lower(ids.filter(at.is_null()))
        left = left.filter(pc.is_in(pc.utf8_lower(left), missing))
        if len(left):
            image = ids.filter(at.is_null())[pc.index(missing, pc.utf8_lower(left[0])).as_py()]
            yield (
                f"Ids of {self.uri} that would name an image but for capital letters, and name none: {len(left):,},"
                f" such as {left[0]} for {image}."
            )


class Match(NamedTuple):
    """The rows of a file of labels that match some images.

    Attributes:
        at: Row numbers [N], null for images without a row.
        n_unmatched: Number of rows that match no image.
        notes: Sentences about rows that are read or matched in a way the user may not expect.
    """

    at: pa.ChunkedArray
    n_unmatched: int
    notes: tuple[str, ...]


def read_labels(
    labels: str | Path,
    *,
    id: str | None = None,  # noqa: A002  the option's name
    label: str | None = None,
    with_columns: bool = False,
    hint: str = _HINT,
) -> LabelFile:
    """Read a file of labels.

    Args:
        labels: Path or URL of a table with a column of ids and one of labels.
        id: The name of its column of ids; None looks for a common name.
        label: The name of its column of labels; None looks for a common name.
        with_columns: Read its other columns too.
        hint: Hint for a file that can't be used.

    Raises:
        InputError: The file can't be read, is no table, lacks a column, or repeats an id.
    """
    uri = _labels_uri(labels)
    if not uri.lower().endswith(SUFFIXES):
        raise InputError(f"`labels` is {labels}, which is no table of labels.", hint=hint)
    names = read_header(uri)
    columns = {
        role: _choose_column(names, role, option, uri=uri, hint=hint)
        for role, option in {"id": id, "label": label}.items()
    }
    chosen = list(dict.fromkeys(columns.values()))
    label_name = columns["label"]
    table = read_table(uri, names if with_columns else chosen, text=chosen, lists=label_name)
    table, columns = split_label_lists(table, columns)
    if uri.lower().endswith(UNTYPED):
        table = infer_types(table, [name for name in table.column_names if name not in chosen])
    check_ids(table[columns["id"]], uri, hint=_REPEATED_HINT)
    table = table.filter(table[columns["id"]].is_valid())
    lists = find_label_lists(table)
    texts, notes = replace_missing(table[columns["label"]], uri)
    return LabelFile(
        uri,
        label_name,
        table[columns["id"]],
        normalize_names(texts),
        join_label_lists(split_columns(table, columns)),
        hint,
        (*read_notes(uri), *notes),
        lists,
        is_over=label_name == "label" and _is_over(uri),
    )


def is_correction(labels: str) -> bool:
    """Return whether `labels` names a file of corrections; False for one that can't be read: `read_labels` says so."""
    try:
        return _is_over(_labels_uri(labels))
    except (OSError, pa.ArrowException):
        return False


def _is_over(uri: str) -> bool:
    """Return whether a file holds corrections over the labels of a table, as the page writes it."""
    if not uri.lower().endswith(".parquet"):
        return False
    with open_uri(uri) as file:
        return LABELS_OVER in (pq.read_schema(file).metadata or {})


def _labels_uri(labels: str | Path) -> str:
    return str(labels) if is_remote(str(labels)) else to_uri(str(Path(labels).absolute()))


def read_labels_of_source(options: SourceOptions) -> LabelFile:
    """Read the file of labels of a source.

    Raises:
        InputError: The file does not exist, can't be read, lacks a column, or repeats an id.
    """
    uri = _labels_uri(options.labels)
    try:
        if uri.lower().endswith(SUFFIXES):
            stat_uri(uri)
    except OSError as error:
        hint = "Pass another file of labels with `labels='FILE'`, or use folder names with `labels='folder'`."
        raise InputError(f"{options.labels} can't be read: {error.strerror or error}.", hint=hint) from error
    return read_labels(options.labels, id=options.id, label=options.label, with_columns=True, hint=_SOURCE_HINT)


def join_labels(source: Source, file: LabelFile) -> Source:
    """Join labels and all other columns of a file to the images of a source.

    Args:
        source: The source; its labels are replaced.
        file: From `read_labels_of_source`.

    Returns:
        The source; an image without a row has no label, or keeps its own by `LabelFile.over`; unmatched rows are
        counted.

    Raises:
        InputError: No row matches an image of the source.
    """
    images = source.listing.images
    at, n_unmatched, notes = file.find(images["id"], of="source")
    labels, notes_on_labels = file.over(images["label"], at)
    joined = {name: images[name] for name in images.column_names} | {"label": labels}
    joined |= {name: file.columns[name].take(at) for name in file.columns.column_names}
    listing = dataclasses.replace(source.listing, images=pa.table(joined))
    return dataclasses.replace(
        source, listing=listing, n_unmatched=n_unmatched, notes=(*source.notes, *notes, *notes_on_labels)
    )


def _choose_column(names: Sequence[str], role: str, option: str | None, *, uri: str, hint: str) -> str:
    common = {"id": (*ID, *PATH), "label": (*LABEL, LABELS)}[role]
    name = choose_column(names, common) if option is None else option
    if name not in names:
        missing = f"{role}s" + (f" of the name {option}" if option else "")
        hint = f"Name one of these with `label`. {hint}" if role == "label" else hint
        raise InputError(
            f"{uri} has no column of {missing}; there are: {', '.join(names) or 'none'}.",
            hint=missing_header_hint(uri, names) or hint,
        )
    return str(name)
