"""The collection that the page shows: an index, the metadata of its images, and optionally a head."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import features as stored
from frieze import indexing
from frieze.core import Floats, InputError, Rows
from frieze.search_document import SearchOptions, notes_on_words, search_document
from frieze.web.background import BackgroundResult
from frieze.web.decisions import DecisionLog, log_path, read_current_decisions
from frieze.web.facets.count import Facets
from frieze.web.inference import EmbeddedImage, Inference, describe_input
from frieze.web.map.points import Maps
from frieze.web.mistakes import Mistakes
from frieze.web.schemas import Decision
from frieze.web.thumbnails import Thumbnails

if TYPE_CHECKING:
    from frieze.classifiers import Head, UnitVectors
    from frieze.embedder import Backbone, TextEncoder
    from frieze.web.labels.label_file import LabelFile

_ID = "id:"
FindDuplicates = Callable[[indexing.Index], dict[str, Any]]
TrainHead = Callable[..., dict[str, Any]]
"""`frieze.train`."""


class Collection:
    """An open index, with the results that are computed from it in the background.

    Args:
        index: The index.
        head: The head, or None.
        thumbnails: Thumbnails of the images.
        find_duplicates: Finds its duplicates: the document of `frieze duplicates --json`.
        labels: The file of labels, or None.
        is_read_only: Whether nothing is to be written.

    Attributes:
        index: The index.
        head: The head, or None.
        inference: Embeds uploaded images.
        thumbnails: Thumbnails of the images.
        decision_log: The decisions on duplicates.
        labels: The file of labels, or None.
        is_read_only: Whether nothing is to be written.
        mistakes: Images whose label may be wrong.
        facets: The values of its columns.
        maps: Its maps.
        notes: Sentences to show when the page starts.
        train_head: `frieze.train`, for heads that are kept; None where none can be.
    """

    def __init__(
        self,
        index: indexing.Index,
        head: "Head | None",
        thumbnails: Thumbnails,
        find_duplicates: FindDuplicates,
        *,
        labels: "LabelFile | None" = None,
        is_read_only: bool = False,
    ) -> None:
        self.labels, self.is_read_only = labels, is_read_only
        self.train_head: TrainHead | None = None
        self.notes: list[str] = []
        self.index, self.head, self.thumbnails = index, head, thumbnails
        self.inference = Inference(self.index.spec, self._load, self._load_text_encoder)
        self.decision_log = DecisionLog(log_path(index.path), is_read_only=is_read_only)
        self._duplicates = BackgroundResult(lambda: find_duplicates(index))
        self.facets = Facets(index)
        self.maps = Maps(index, self.facets, head)
        self.mistakes = Mistakes(index, head, labels, lambda: self.unit_vectors)

    @functools.cached_property
    def unit_vectors(self) -> "UnitVectors":
        """The stored vectors, scaled to unit length."""
        import frieze.classifiers

        read = functools.partial(indexing.read_vectors, self.index)
        return frieze.classifiers.UnitVectors(read, (len(self.index), self.index.spec.dim))

    def describe(self) -> dict[str, Any]:
        """Return what the page shows first: size, kind, backbone, labels and head."""
        spec = self.index.spec
        self.inference.begin_if_kept()
        return {
            "index": str(self.index.path),
            "rows": len(self.index),
            "metric": self.index.metric,
            "kind": self.index.document["index_kind"],
            "backbone": spec.name,
            "backbone_state": self.inference.state,
            "sees": describe_input(spec),
            "has_words": spec.text_encoder is not None,
            "columns": indexing.column_types(self.index),
            "labels": self._labels,
            "head": None
            if self.head is None
            else {"kind": self.head.document["head"], "classes": self.head.classes.tolist()},
            "stale": self.index.staleness(),
        }

    @functools.cached_property
    def _labels(self) -> list[dict[str, Any]]:
        return [{"label": label, "images": n} for label, n in indexing.count_labels(self.index).items()]

    def search(self, id: str, options: SearchOptions) -> dict[str, Any]:  # noqa: A002  as the index has it
        """Find the images most similar to a stored one.

        Raises:
            InputError: There is no such id, or an option is invalid.
        """
        return search_document(self.index, [_ID + id], self.index.embedding(id)[None], options)

    def search_text(self, query: str, options: SearchOptions) -> dict[str, Any]:
        """Find the images nearest to a query in words, `text:...`.

        Raises:
            InputError: It has no words to look for, or the backbone has no text tower.
        """
        vector, cut_texts = self.inference.embed_text(query)
        notes = notes_on_words(self.index, cut_texts)
        return search_document(self.index, [query], vector[None], options, notes=notes)

    def search_embedded(self, name: str, image: EmbeddedImage, options: SearchOptions) -> dict[str, Any]:
        """Find the images most similar to an uploaded one; with a head, also predict its label."""
        document = search_document(self.index, [name], image.embedding[None], options)
        if self.head is not None:
            document["queries"][0]["prediction"] = self._predict(image.embedding)
        return document

    def metadata(self, id: str) -> dict[str, Any]:  # noqa: A002  as the index has it
        """Return the metadata of an image."""
        return indexing.look_up(self.index, id)

    def filter(self, where: str | None, lasso: str | None) -> Rows:
        """Return the rows that pass a filter and lie in a lasso, in the order of the table.

        Raises:
            InputError: The filter or the lasso can't be used.
        """
        rows = indexing.filter_rows(self.index, where)
        return rows if lasso is None else np.intersect1d(rows, self.maps.rows_inside(lasso), assume_unique=True)

    def browse(self, label: str | None, where: str | None, lasso: str | None, start: int, n: int) -> dict[str, Any]:
        """Return some images of a label, or that pass a filter and lie in a lasso, in the order of the table."""
        rows = self.filter(where, lasso) if label is None else indexing.label_rows(self.index, label or None)
        images = indexing.take_rows(self.index, rows[start : start + n])
        return {"total": len(rows), "start": start, "images": images}

    def _predict(self, embedding: Floats) -> dict[str, Any]:
        assert self.head is not None  # noqa: S101  checked by the callers
        labels, probabilities = self.head.predict(embedding[None])
        return {"label": str(labels[0]), "probability": float(probabilities[0])}

    def duplicates(self) -> BackgroundResult[dict[str, Any]]:
        """Return the groups of duplicates, computed in the background."""
        return self._duplicates

    def decisions(self) -> dict[str, Any]:
        """Return the decisions on pairs of images whose bytes are still those that were decided on.

        Raises:
            InputError: The log can't be read.
        """
        return {
            "path": str(self.decision_log.path),
            "is_writable": self.decision_log.is_writable,
            "decisions": [
                one.model_dump(include=set(Decision.model_fields)) for one in read_current_decisions(self.index)
            ],
        }

    def decide(self, decision: Decision) -> None:
        """Store a decision.

        Raises:
            InputError: An id is not in the collection, both are the same, or the log can't be written.
        """
        if decision.id == decision.other:
            raise InputError("A pair has two images.", hint="Use two ids.")
        hashes = [self.metadata(name).get("sha256") for name in (decision.id, decision.other)]
        self.decision_log.append(decision, sha256=(hashes[0], hashes[1]))

    def _load(self) -> "Backbone":
        import frieze.embedder

        hint = "Search by an image of the collection instead."
        stored.check_can_embed(self.index.spec, where=str(self.index.path), hint=hint)
        return frieze.embedder.reopen_backbone(self.index.spec, where=str(self.index.path))

    def _load_text_encoder(self) -> "TextEncoder":
        import frieze.embedder

        return frieze.embedder.open_text_encoder(self.index.spec, where=str(self.index.path))

    def close(self) -> None:
        """Stop the background work."""
        self.inference.close()
        self.thumbnails.close()


def open_collection(
    index: Path,
    head: Path | None,
    thumbnails: Path,
    *,
    find_duplicates: FindDuplicates,
    labels: Path | None = None,
    is_read_only: bool = False,
) -> Collection:
    """Open the index, the head and the file of labels.

    Args:
        index: The index's folder.
        head: The head's folder, or None.
        thumbnails: The cache of thumbnails.
        find_duplicates: Finds the duplicates of an index: the document of `frieze duplicates --json`.
        labels: The file of labels, created where it is missing, or a table to read into one beside it; or None.
        is_read_only: Whether to write nothing: neither labels nor decisions on duplicates.

    Raises:
        InputError: One of them can't be opened, or they are of different backbones.
    """
    import frieze.classifiers

    opened_index = indexing.open_index(index)
    opened_head = None if head is None else frieze.classifiers.open_head(head)
    if opened_head is not None:
        hint = "Give a head that was trained on the index's own table."
        stored.check_same_backbone(opened_head.spec, opened_index.spec, where=str(index), hint=hint)
    label_file, notes = _open_labels(labels, opened_index, is_read_only=is_read_only)
    cache = Thumbnails(thumbnails)
    collection = Collection(
        opened_index, opened_head, cache, find_duplicates, labels=label_file, is_read_only=is_read_only
    )
    collection.notes = notes
    return collection


def _open_labels(
    path: Path | None, index: indexing.Index, *, is_read_only: bool
) -> tuple["LabelFile | None", list[str]]:
    """Open the file of labels, None for None; and return notes on a table that was read into it."""
    from frieze.web.labels.import_labels import import_labels
    from frieze.web.labels.label_file import LabelFile

    if path is None:
        return None, []
    imported = import_labels(path, index.row_metadata.ids, is_read_only=is_read_only)
    return LabelFile(imported.path, is_read_only=is_read_only), imported.notes
