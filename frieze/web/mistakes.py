"""Images whose label may be wrong: by the head, by an audit, or by heads on the corrected labels."""

import functools
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow.parquet as pq

from frieze import features as stored
from frieze import indexing
from frieze.core import InputError, Strings
from frieze.web.background import BackgroundResult

if TYPE_CHECKING:
    from frieze.classifiers import Head, Relabelling, UnitVectors
    from frieze.web.labels.label_file import LabelFile

Source = Literal["head", "audit", "retrained"]
RunAudit = Callable[..., dict[str, Any]]
"""`frieze.audit`."""
_LABEL = "label"
_AUDIT_KINDS = ("label", "duplicate_labels")  # those that suggest a label
_Mistakes = list[dict[str, Any]]


class Mistakes:
    """Lists of mistakes, most certain first, each computed once in the background; and what corrections change.

    Args:
        index: The index.
        head: The head, or None.
        labels: The file of labels, or None.
        read_vectors: Returns the vectors of the index.

    Attributes:
        run_audit: `frieze.audit`; None where there is none.
    """

    def __init__(
        self,
        index: indexing.Index,
        head: "Head | None",
        labels: "LabelFile | None",
        read_vectors: Callable[[], "UnitVectors"],
    ) -> None:
        self._index, self._head, self._labels, self._read_vectors = index, head, labels, read_vectors
        self.run_audit: RunAudit | None = None
        self._of_head = BackgroundResult(self._predict_all)
        self._of_audit = BackgroundResult(self._audit)
        self._retrained: tuple[dict[str, str], BackgroundResult[dict[str, Any]]] | None = None

    def find(self, source: Source) -> BackgroundResult[Any]:
        """Return the mistakes by a source: `id`, `label`, `prediction` and `probability` of each.

        Raises:
            InputError: There is no head, or nothing was retrained yet.
        """
        if source == "head":
            if self._head is None:
                raise InputError("No head was given.", hint="Start the page with: frieze serve INDEX --head HEAD")
            return self._of_head
        if source == "audit":
            return self._of_audit
        if self._retrained is None:
            raise InputError("Nothing was retrained yet.", hint="Ask for it by: POST /retrain")
        return self._retrained[1]

    def retrain(self) -> BackgroundResult[dict[str, Any]]:
        """Return what the corrected labels change, computed anew after each change of a label.

        Raises:
            InputError: The labels can't be read.
        """
        given = self._given_labels()
        if self._retrained is None or self._retrained[0] != given:
            self._retrained = given, BackgroundResult(functools.partial(self._measure, given))
            self._of_audit = BackgroundResult(self._audit)
        return self._retrained[1]

    def _given_labels(self) -> dict[str, str]:
        images = {} if self._labels is None else self._labels.read()
        return {name: image.labels[_LABEL] for name, image in images.items() if _LABEL in image.labels}

    def _measure(self, given: dict[str, str]) -> dict[str, Any]:
        import frieze.classifiers

        before = self._table_labels()
        after, rows = before.copy(), indexing.known_rows(self._index, list(given))
        after[rows] = [given[name] for name in self._index.ids[rows]]
        vectors = self._read_vectors()
        named = [name for name in ("id", *frieze.classifiers.CUT_FROM) if name in indexing.column_types(self._index)]
        groups = frieze.classifiers.number_wholes(indexing.read_columns(self._index, named))
        embeddings = vectors.take(np.arange(len(before)))
        measured = frieze.classifiers.measure_relabelling(embeddings, before, after, groups=groups)
        return {
            "n": len(measured.rows),
            "n_corrected": int((before != after).sum()),
            "n_confirmed": int((before[rows] == after[rows]).sum()),
            "before": vars(measured.before),
            "after": vars(measured.after),
            "mistakes": self._disagreements(after, measured),
        }

    def _table_labels(self) -> Strings:
        names, codes = indexing.label_codes(self._index)
        return np.array([*names, None], object)[codes]

    def _disagreements(self, labels: Strings, measured: "Relabelling") -> _Mistakes:
        of_rows = labels[measured.rows]
        wrong = np.flatnonzero(measured.predictions != of_rows)
        wrong = wrong[np.argsort(-measured.log_odds[wrong], kind="stable")]
        ids = self._index.ids[measured.rows[wrong]]
        return _mistakes(ids, of_rows[wrong], measured.predictions[wrong], measured.probabilities[wrong])

    def _predict_all(self) -> _Mistakes:
        """Predict every image of the table that the index was made of, as `frieze predict` does.

        Raises:
            InputError: The table can't be read, or has changed since the index was made.
        """
        assert self._head is not None  # noqa: S101  checked by `find`
        table = stored.open_features(Path(self._index.document["features"]["path"]))
        if stale := self._index.staleness():  # after opening, so that a run which ends meanwhile is noticed
            raise InputError(stale, hint="Then start the page again.")
        labels = np.asarray(table.labels, object)
        names, probabilities = self._head.predict(table.embeddings())
        wrong = np.flatnonzero([label is not None and label != one for label, one in zip(labels, names, strict=True)])
        wrong = wrong[np.argsort(-probabilities[wrong], kind="stable")]
        ids = np.asarray(table.ids, object)
        return _mistakes(ids[wrong], labels[wrong], np.asarray(names, object)[wrong], probabilities[wrong])

    def _audit(self) -> _Mistakes:
        """Run `frieze audit` on the table of the index with the labels as they are now.

        Raises:
            InputError: There is no audit, or the table can't be audited.
        """
        if self.run_audit is None:
            raise InputError("This page runs no audits.", hint="Start it with: frieze serve INDEX --labels FILE")
        options = {"labels": self._labels.path} if self._labels is not None and self._given_labels() else {}
        with tempfile.TemporaryDirectory(prefix="frieze-audit-") as folder:
            out = Path(folder) / "findings.parquet"
            self.run_audit(self._index.document["features"]["path"], out=out, **options)
            rows = pq.read_table(out).to_pylist()
        known = set(self._index.ids.tolist())
        return _of_findings(row for row in rows if row["kind"] in _AUDIT_KINDS and row["id"] in known)


def _mistakes(ids: Any, labels: Strings, predictions: Strings, probabilities: Any) -> _Mistakes:
    """Return mistakes as the page's route has them, in their order."""
    return [
        {"id": ids[row], "label": labels[row], "prediction": predictions[row], "probability": float(probabilities[row])}
        for row in range(len(ids))
    ]


def _of_findings(findings: Iterable[dict[str, Any]]) -> _Mistakes:
    """Return the findings of an audit that suggest a label, each image once, in their order."""
    of_images: dict[str, dict[str, Any]] = {}
    for one in findings:
        if one["suggested"] is not None:
            sure = one["score"] if one["probability"] is None else one["probability"]
            mistake = {"id": one["id"], "label": one["label"], "prediction": one["suggested"], "probability": sure}
            of_images.setdefault(one["id"], mistake)
    return list(of_images.values())
