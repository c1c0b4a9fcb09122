"""The routes that learn from labels: rank, ask, and keep a head."""

import shlex
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import FastAPI

from frieze import indexing
from frieze.core import InputError, Rows, to_command_line
from frieze.web.collection import Collection
from frieze.web.labels import documents
from frieze.web.labels.history import LabelledImage, check_column
from frieze.web.labels.routes import labels_of
from frieze.web.writing import Writable

if TYPE_CHECKING:
    from frieze.classifiers import Answers, Taught


def add_teach_routes(app: FastAPI, collection: Collection, writable: Writable) -> None:
    """Add the routes that learn from labels.

    Args:
        app: The application.
        collection: The collection.
        writable: Refuses requests that must not write.
    """

    @app.post("/teach", response_model=documents.Taught)
    def teach(request: documents.TeachRequest) -> dict[str, Any]:
        """Fit a head on the labels of a column, rank all images by it, and choose images to ask about."""
        return teach_column(collection, request)

    @app.get("/curve", response_model=documents.Curve)
    def curve(column: documents.ColumnName = "label") -> dict[str, Any]:
        """Measure heads on more and more of the answers, in the order in which they were given."""
        return draw_curve(collection, column)

    @app.post("/heads", response_model=documents.KeptHead, dependencies=[writable])
    def keep(request: documents.HeadRequest) -> dict[str, Any]:
        """Train a head on the labels of a column, as `frieze train` does, beside the file of labels."""
        return keep_head(collection, request)


def teach_column(collection: Collection, request: documents.TeachRequest) -> dict[str, Any]:
    """Return the document of `POST /teach`.

    Raises:
        InputError: There is no file of labels, or the head is fitted on no label `of` in that column.
    """
    import frieze.classifiers

    started = time.perf_counter()
    answers = _answers(collection, request.column)
    taught = frieze.classifiers.teach(collection.unit_vectors, answers)
    questions = frieze.classifiers.choose_questions(collection.unit_vectors, answers, taught, n=request.ask)
    of, ranked = _rank(collection, request, answers, taught)
    n_sure = taught.count_sure()
    names, counts = np.unique(answers.labels.astype(str), return_counts=True)
    n_answers = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {
        "column": request.column,
        "rows": len(collection.index),
        "classes": [
            {"label": label, "n_answers": n_answers[label], "n_sure": n}
            for label, n in zip(taught.classes, n_sure, strict=True)
        ],
        "n_unsure": len(collection.index) - sum(n_sure),
        "of": of,
        "ranked": ranked,
        "questions": [
            {"id": collection.index.ids[row], "held_out": is_held_out}
            for row, is_held_out in zip(questions.rows.tolist(), questions.is_held_out.tolist(), strict=True)
        ],
        "held_out": {
            "n": taught.n_held_out,
            "n_right": taught.n_right,
            "accuracy": taught.accuracy,
            "interval": taught.interval,
        },
        "seconds": time.perf_counter() - started,
    }


def draw_curve(collection: Collection, column: str) -> dict[str, Any]:
    """Return the document of `GET /curve`.

    Raises:
        InputError: There is no file of labels, or no column can have that name.
    """
    import frieze.classifiers

    answers = _answers(collection, column)
    points = frieze.classifiers.learning_curve(collection.unit_vectors, answers)
    return {"column": column, "n_held_out": int(answers.is_held_out.sum()), "points": [vars(one) for one in points]}


def _answers(collection: Collection, column: str) -> "Answers":
    """Return the labels of a column in the order of their images' last changes; the file may name others than these."""
    import frieze.classifiers

    check_column(column)
    images = labels_of(collection).read()
    answered = {name: image for name, image in sorted(images.items(), key=_last_change) if column in image.labels}
    rows = indexing.known_rows(collection.index, list(answered))
    ids = collection.index.ids[rows].tolist()
    labels = np.array([answered[name].labels[column] for name in ids], object)
    is_held_out = np.array([column in answered[name].held_out for name in ids], bool)
    return frieze.classifiers.Answers(rows, labels, is_held_out)


def _last_change(item: tuple[str, LabelledImage]) -> datetime:
    """Return when an image was changed last; a file without its log may not say so of each."""
    return item[1].when or datetime.min.replace(tzinfo=UTC)


def _rank(
    collection: Collection, request: documents.TeachRequest, answers: "Answers", taught: "Taught"
) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the label that images are ranked by, None without any, and the images, best first."""
    classes: list[str] = taught.classes.tolist()
    if request.of is not None and request.of not in classes:
        there = f"There are: {', '.join(classes)}." if classes else "Label an image first."
        raise InputError(
            f"No image is labelled {request.of!r} in the column {request.column}, but for held-out ones.", hint=there
        )
    if not classes:
        return None, []
    of = request.of or classes[0]
    scores = taught.scores[:, classes.index(of)]
    rows: Rows = np.argsort(-scores, kind="stable")[request.start : request.start + request.n]
    answer = dict(zip(answers.rows.tolist(), answers.labels.tolist(), strict=True))
    names = collection.index.ids[rows].tolist()
    return of, [
        {"id": name, "score": score, "answer": answer.get(row)}
        for name, score, row in zip(names, scores[rows].tolist(), rows.tolist(), strict=True)
    ]


def keep_head(collection: Collection, request: documents.HeadRequest) -> dict[str, Any]:
    """Return the document of `POST /heads`: that of `frieze train`, and the command.

    Raises:
        InputError: There are too few labels, the table is not there, or a head of that name is.
    """
    check_column(request.column)
    file = labels_of(collection)
    if collection.train_head is None:
        raise InputError("This page keeps no heads.", hint="Start it with: frieze serve INDEX --labels FILE")
    features = collection.index.document["features"]["path"]
    options = {
        "out": str(file.path.with_name(f"{request.name}.head")),
        "labels": str(file.path),
        "label": request.column,
    }
    document = collection.train_head(features, **options)
    return document | {"command": f"frieze train {shlex.quote(features)} {to_command_line(options)}"}
