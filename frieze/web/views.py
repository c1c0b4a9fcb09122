"""Looking at the collection as a whole: its classes, duplicates, mistakes and map."""

from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Response
from fastapi.responses import JSONResponse

from frieze.projection import check_method
from frieze.web import documents
from frieze.web.collection import Collection
from frieze.web.later import Later
from frieze.web.parameters import LATER, Count, Start, Where

Label = Annotated[str | None, Query(max_length=4096, description="Images of this label; empty for those without one.")]


def add(app: FastAPI, collection: Collection) -> None:
    """Add the calls to an application."""

    @app.get("/collection", response_model=documents.Facts)
    def describe() -> dict[str, Any]:
        """Say what is here."""
        return collection.describe()

    @app.get("/images", response_model=documents.Images)
    def browse(label: Label = None, where: Where = None, start: Start = 0, n: Count = 60) -> dict[str, Any]:
        """Give some images, in the order of the table."""
        return collection.browse(label, where, start, n)

    @app.get("/duplicates", response_model=documents.Duplicates, responses=LATER)
    def duplicates() -> Any:
        """Give the groups of duplicates, the image to keep first; they are looked for when first asked for."""
        return _or_working(collection.duplicates())

    @app.get("/mistakes", response_model=documents.Mistakes, responses=LATER)
    def mistakes(start: Start = 0, n: Count = 60) -> Any:
        """Give the images that the head takes for another class than their label, surest first."""
        later = collection.mistakes()
        if later.state in ("idle", "working"):
            return _or_working(later)
        found = later.get()
        return {"total": len(found), "mistakes": found[start : start + n]}

    @app.get("/map", response_model=documents.Map, responses=LATER)
    def lay_out(method: Literal["pca", "umap"] = "pca") -> Any:
        """Give the images as points on a plane, at most 100,000 of them."""
        check_method(method)
        return _or_working(collection.map(method))


def _or_working(later: Later[Any]) -> Any | Response:
    """Give what is ready; else have it made and say so."""
    if later.state in ("idle", "working"):
        later.begin()
        return JSONResponse({"state": "working"}, 202)
    return later.get()
