"""What the page shows: an index, what is known of its images, a head where one is given."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import features as stored
from frieze import indexing as rooms
from frieze.core import Floats, InputError
from frieze.reports.projection import choose_rows, lay_out, to_document
from frieze.search_document import SearchOptions, answer
from frieze.web.background import BackgroundResult
from frieze.web.inference import Inference, Seen, what_it_sees
from frieze.web.thumbnails import Thumbnails

if TYPE_CHECKING:
    from frieze.classifiers import Head
    from frieze.embedder import Backbone

_ID = "id:"


class Collection:
    """An opened index with all that is made of it once, in the background.

    Attributes:
        index: The index.
        head: The head, or None.
        inference: Embeds what people bring.
        thumbnails: Small pictures of the images.
    """

    def __init__(self, index: rooms.Index, head: "Head | None", thumbnails: Thumbnails) -> None:
        self.index, self.head, self.thumbnails = index, head, thumbnails
        self.inference = Inference(self.index.spec, self._load)
        self._duplicates = BackgroundResult(lambda: rooms.find_duplicates(index))
        self._maps = {method: BackgroundResult(functools.partial(self._lay_out, method)) for method in ("pca", "umap")}
        self._predictions = BackgroundResult(self._predict_all)

    def describe(self) -> dict[str, Any]:
        """Say what is here: for the page's first sight."""
        spec = self.index.spec
        return {
            "index": str(self.index.path),
            "rows": len(self.index),
            "metric": self.index.metric,
            "kind": self.index.document["index_kind"],
            "backbone": spec.name,
            "backbone_state": self.inference.state,
            "sees": what_it_sees(spec),
            "columns": rooms.column_types(self.index),
            "labels": self._labels,
            "head": None
            if self.head is None
            else {"kind": self.head.document["head"], "classes": self.head.classes.tolist()},
            "stale": self.index.staleness(),
        }

    @functools.cached_property
    def _labels(self) -> list[dict[str, Any]]:
        return [{"label": label, "images": n} for label, n in rooms.count_labels(self.index).items()]

    def search(self, id: str, wanted: SearchOptions) -> dict[str, Any]:  # noqa: A002  as the index has it
        """Find what is like a stored image.

        Raises:
            InputError: There is none of that id, or what is wanted can't be had.
        """
        return answer(self.index, [_ID + id], self.index.embedding(id)[None], wanted)

    def search_seen(self, name: str, seen: Seen, wanted: SearchOptions) -> dict[str, Any]:
        """Find what is like an image that somebody brought; with a head, also say what it takes it for."""
        document = answer(self.index, [name], seen.embedding[None], wanted)
        if self.head is not None:
            document["queries"][0]["prediction"] = self._predict(seen.embedding)
        return document

    def known(self, id: str) -> dict[str, Any]:  # noqa: A002  as the index has it
        """Give what is known of an image."""
        return rooms.look_up(self.index, id)

    def browse(self, label: str | None, where: str | None, start: int, n: int) -> dict[str, Any]:
        """Give some images of a label, or that pass a filter, in the order of the table."""
        rows = rooms.filter_rows(self.index, where) if label is None else rooms.label_rows(self.index, label or None)
        images = rooms.take_rows(self.index, rows[start : start + n])
        return {"total": len(rows), "start": start, "images": images}

    def _predict(self, embedding: Floats) -> dict[str, Any]:
        assert self.head is not None  # noqa: S101  asked only where there is one
        labels, probabilities = self.head.predict(embedding[None])
        return {"label": str(labels[0]), "probability": float(probabilities[0])}

    def duplicates(self) -> BackgroundResult[dict[str, Any]]:
        """Give the groups of duplicates, once they are found."""
        return self._duplicates

    def map(self, method: str) -> BackgroundResult[dict[str, Any]]:
        """Give the images as points, once they are laid out."""
        return self._maps[method]

    def mistakes(self) -> BackgroundResult[list[dict[str, Any]]]:
        """Give the images whose label is not what the head says, surest first, once all are predicted.

        Raises:
            InputError: There is no head.
        """
        if self.head is None:
            raise InputError("No head was given.", hint="Start the page with: frieze serve INDEX --head HEAD")
        return self._predictions

    def _lay_out(self, method: str) -> dict[str, Any]:
        rows = choose_rows(len(self.index))
        vectors = np.concatenate(list(rooms.read_vectors(self.index, rows)))
        points = lay_out(vectors, rows, method=method)
        labels, codes = rooms.label_codes(self.index)
        return to_document(points, self.index.ids[rows].tolist(), labels, codes[rows])

    def _predict_all(self) -> list[dict[str, Any]]:
        """Predict every image of the table that the index was made of, as `frieze predict` does.

        Raises:
            InputError: The table can't be read, or is not the one that the index was made of any more.
        """
        assert self.head is not None  # noqa: S101  asked only where there is one
        table = stored.open_features(Path(self.index.document["features"]["path"]))
        if stale := self.index.staleness():  # asked now, so that a run which ends meanwhile is seen
            raise InputError(stale, hint="Then start the page again.")
        labels = np.asarray(table.labels, object)
        found, sure = self.head.predict(table.embeddings())
        wrong = np.flatnonzero([label is not None and label != one for label, one in zip(labels, found, strict=True)])
        wrong = wrong[np.argsort(-sure[wrong], kind="stable")]
        return [
            {"id": table.ids[row], "label": labels[row], "prediction": found[row], "probability": float(sure[row])}
            for row in wrong.tolist()
        ]

    def _load(self) -> "Backbone":
        import frieze.embedder

        hint = "Search by an image of the collection instead."
        stored.check_can_embed(self.index.spec, where=str(self.index.path), hint=hint)
        return frieze.embedder.reopen_backbone(self.index.spec, where=str(self.index.path))

    def close(self) -> None:
        """End what runs in the background."""
        self.inference.close()
        self.thumbnails.close()


def open_collection(index: Path, head: Path | None, thumbnails: Path) -> Collection:
    """Open what the page shows.

    Raises:
        InputError: The index or the head can't be opened, or the head is of another backbone.
    """
    import frieze.classifiers

    opened = rooms.open_index(index)
    learnt = None if head is None else frieze.classifiers.open_head(head)
    if learnt is not None:
        stored.check_same_backbone(
            learnt.spec, opened.spec, where=str(index), hint="Give a head that was trained on the index's own table."
        )
    return Collection(opened, learnt, Thumbnails(thumbnails))
