"""The routes of labels and tags."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Annotated, Any

import fastapi
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from frieze import indexing
from frieze.core import InputError
from frieze.web.collection import Collection
from frieze.web.labels import documents
from frieze.web.labels.history import Change, check_column
from frieze.web.labels.label_file import LabelFile
from frieze.web.writing import Writable

_Session = Annotated[str, fastapi.Query(max_length=100, description="The session whose undo is described.")]


def add_label_routes(app: FastAPI, collection: Collection, writable: Writable) -> None:
    """Add the routes for labels and tags.

    Args:
        app: The application.
        collection: The collection.
        writable: Refuses requests that must not write.
    """

    @app.get("/labels", response_model=documents.Labels)
    def labels(session: _Session = "") -> dict[str, Any]:
        """Return the labels and tags that were given on the page."""
        file = labels_of(collection)
        return file.describe(session) | {"images": file.look_up(sorted(file.read()))}

    @app.post("/labels", response_model=documents.Labels, dependencies=[writable])
    def change(change: documents.LabelChange) -> dict[str, Any]:
        """Label or tag images, take labels back to the table's, undo or redo; returns the images that changed."""
        file = labels_of(collection)
        changed = file.change(_to_change(change, collection))
        return file.describe(change.session) | {"images": file.look_up(changed)}

    @app.get("/labels.csv", response_class=StreamingResponse, responses={200: {"content": {"text/csv": {}}}})
    def export() -> StreamingResponse:
        """Return the file of labels as CSV, lists as JSON."""
        headers = {"content-disposition": 'attachment; filename="labels.csv"'}
        return StreamingResponse(_csv_lines(labels_of(collection)), media_type="text/csv", headers=headers)


def labels_of(collection: Collection) -> LabelFile:
    """Return the file of labels.

    Raises:
        InputError: The page was started without one.
    """
    if collection.labels is None:
        raise InputError("There is no file of labels.", hint="Start the page with: frieze serve INDEX --labels FILE")
    return collection.labels


def _to_change(request: documents.LabelChange, collection: Collection) -> Change:
    """Check a request to change labels, and return what is logged of it.

    Raises:
        InputError: An id is not in the collection, there is nothing to change, or the column has an impossible name.
    """
    if request.action != "set":
        return Change(action=request.action, session=request.session)
    check_column(request.column)
    sets_label = "label" in request.model_fields_set
    if not request.ids or not (sets_label or request.add or request.remove):
        raise InputError("There is nothing to change.", hint="Send `ids`, and a `label`, tags to `add` or to `remove`.")
    indexing.id_rows(collection.index, request.ids)
    return Change(
        session=request.session,
        ids=list(dict.fromkeys(request.ids)),
        column=request.column,
        label=request.label,
        sets_label=sets_label,
        is_held_out=request.held_out is True,
        held_out=set() if isinstance(request.held_out, bool) else set(request.held_out),
        add=request.add,
        remove=request.remove,
    )


def _csv_lines(file: LabelFile) -> Iterator[str]:
    table = file.table()
    rows = (_cells(row) for row in table.to_pylist())
    for row in (table.column_names, *rows):
        line = io.StringIO()
        csv.writer(line).writerow(row)
        yield line.getvalue()


def _cells(row: dict[str, Any]) -> list[Any]:
    cells = (value.isoformat() if name == "when" and value else value for name, value in row.items())
    return [json.dumps(cell, ensure_ascii=False) if isinstance(cell, list) else cell for cell in cells]
