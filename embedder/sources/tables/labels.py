"""Labels and other columns from a file of their own, joined to images by id."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, is_remote
from frieze.embedder.sources.base import Source, SourceOptions
from frieze.embedder.sources.files import facts_of, to_uri
from frieze.embedder.sources.spelling import HOW, match_spellings, to_plain_texts
from frieze.embedder.sources.tables.column_names import ID, LABEL, PATH, choose
from frieze.embedder.sources.tables.infer_types import with_types
from frieze.embedder.sources.tables.manifest import split_columns
from frieze.embedder.sources.tables.missing_values import without_missing
from frieze.embedder.sources.tables.name_matching import match_by_name
from frieze.embedder.sources.tables.named_images import check_ids, shown
from frieze.embedder.sources.tables.read import SUFFIXES, UNTYPED, header_mend, read_header, read_notes, read_table

_NO_ID = "none of its ids is one that frieze wrote"
_MEND = (
    "Give --labels a CSV, TSV, JSONL or Parquet file with one row an image: its id as frieze writes it (the path below"
    " the source) in a column `id` or `path`, its label in a column `label` or the one that --label names."
)
_MEND_OF_SOURCE = f"{_MEND} Any other column of ids is named with --id; --labels may also be folder or none."


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """A file of labels that was read; use `read_labels`.

    Attributes:
        place: Its absolute path, or URL.
        label: The name of its column of labels.
        ids: Text [n], each once; rows without one are left out.
        labels: Text [n], null where a row has none.
        columns: The other columns [n] where they were read, under the names they are stored by.
        hint: What to type where it does not fit.
        notes: In words, what of it was read otherwise than one may think.
    """

    place: str
    label: str
    ids: pa.ChunkedArray
    labels: pa.ChunkedArray
    columns: pa.Table
    hint: str
    notes: tuple[str, ...] = ()

    def find(self, ids: pa.ChunkedArray, *, of: str) -> "Match":
        """Find the row of each of some images: by its id or, where no row names one so, by its file's name.

        Args:
            ids: Of the images [N], each once.
            of: What these are the images of, for the message: `source` or `table`.

        Raises:
            InputError: No row names one, or two are told by one name.
        """
        (at, n_spelled), matched_by = match_spellings(ids, self.ids), None
        if len(ids) and not pc.any(at.is_valid()).as_py():
            matched = match_by_name(ids, self.ids, place=self.place, hint=self.hint)
            if matched is None:
                raise InputError(
                    f"{self.place} names no image of the {of}: its ids are {shown(self.ids)}, the {of}'s {shown(ids)}.",
                    hint=self.hint,
                )
            at, matched_by = matched
        notes = () if matched_by is None else (f"{self.place} was matched by {matched_by}: {_NO_ID}.",)
        if n_spelled:
            notes = (
                f"Ids of {self.place} that are written otherwise than those of their images: {n_spelled:,} ({HOW}).",
            )
        n_unmatched = len(self.ids) - pc.count_distinct(at, "only_valid").as_py()
        return Match(at, n_unmatched, (*self.notes, *notes))


class Match(NamedTuple):
    """The rows of a file of labels that belong to some images.

    Attributes:
        at: Row numbers [N], null where the file does not name an image.
        n_unmatched: Rows that name none of the images.
        notes: In words, what of the file was read or matched otherwise than one may think.
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
    hint: str = _MEND,
) -> LabelFile:
    """Read a file of labels.

    Args:
        labels: Path or URL of a table with a column of ids and one of labels.
        id: The name of its column of ids; None looks for a usual name.
        label: The same of its labels.
        with_columns: Read its other columns, too.
        hint: What to type where the file can't be used.

    Raises:
        InputError: The file can't be read, is no table, lacks a column, or names an id twice.
    """
    place = _to_place(labels)
    if not place.lower().endswith(SUFFIXES):
        raise InputError(f"--labels is {labels}: no table of labels.", hint=hint)
    names = read_header(place)
    columns = {
        what: _choose_column(names, what, asked, place=place, hint=hint)
        for what, asked in {"id": id, "label": label}.items()
    }
    chosen = list(dict.fromkeys(columns.values()))
    table = read_table(place, names if with_columns else chosen, text=chosen)
    if place.lower().endswith(UNTYPED):
        table = with_types(table, [name for name in table.column_names if name not in chosen])
    check_ids(table[columns["id"]], place, hint=hint)
    table = table.filter(table[columns["id"]].is_valid())
    ids, found = (table[columns[what]] for what in ("id", "label"))
    found, notes = without_missing(found, place)
    found = to_plain_texts(found)
    return LabelFile(
        place, columns["label"], ids, found, split_columns(table, columns), hint, (*read_notes(place), *notes)
    )


def _to_place(labels: str | Path) -> str:
    return str(labels) if is_remote(str(labels)) else to_uri(str(Path(labels).absolute()))


def read_labels_of_source(options: SourceOptions) -> LabelFile:
    """Read the file of labels that goes with a source.

    Raises:
        InputError: The file is not there, can't be read, lacks a column, or names an id twice.
    """
    place = _to_place(options.labels)
    try:
        if place.lower().endswith(SUFFIXES):
            facts_of(place)
    except OSError as error:
        hint = "Give another file of labels with --labels FILE, or take the folders' names with --labels folder."
        raise InputError(f"{options.labels} can't be read: {error.strerror or error}.", hint=hint) from error
    return read_labels(options.labels, id=options.id, label=options.label, with_columns=True, hint=_MEND_OF_SOURCE)


def join_labels(source: Source, file: LabelFile) -> Source:
    """Take the labels of a source's images, and all other columns, from a file.

    Args:
        source: The source; its own labels are replaced.
        file: From `read_labels_of_source`.

    Returns:
        The source; an image that the file does not name has no label, and rows that name no image are counted.

    Raises:
        InputError: The file names no image of the source.
    """
    images = source.listing.images
    at, n_unmatched, notes = file.find(images["id"], of="source")
    joined = {name: images[name] for name in images.column_names} | {"label": file.labels.take(at)}
    joined |= {name: file.columns[name].take(at) for name in file.columns.column_names}
    listing = dataclasses.replace(source.listing, images=pa.table(joined))
    return dataclasses.replace(source, listing=listing, n_unmatched=n_unmatched, notes=(*source.notes, *notes))


def _choose_column(names: Sequence[str], what: str, asked: str | None, *, place: str, hint: str) -> str:
    usual = {"id": (*ID, *PATH), "label": LABEL}[what]
    name = choose(names, usual) if asked is None else asked
    if name not in names:
        wanted = f"{what}s" + (f" of the name {asked}" if asked else "")
        raise InputError(
            f"{place} has no column of {wanted}; there are: {', '.join(names) or 'none'}.",
            hint=header_mend(place, names) or hint,
        )
    return str(name)
