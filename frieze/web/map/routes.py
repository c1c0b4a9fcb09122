"""The routes of the page's map; points and colours are bytes, as a million numbers take long to write as JSON."""

from typing import Annotated, Any, Literal

import fastapi
import numpy as np
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from frieze import indexing
from frieze.core import InputError
from frieze.reports.projection import Points, check_method
from frieze.web import schemas
from frieze.web.collection import Collection
from frieze.web.facets.columns import Facet
from frieze.web.map.points import colour_codes, coloured_values
from frieze.web.schemas import ACCEPTED, BYTES, Lasso, Where

Method = Annotated[Literal["tsne", "umap", "pca"], fastapi.Query(description="What lays out the map.")]
ColumnName = Annotated[str, fastapi.Query(max_length=4096, description="A column that `GET /map/columns` lists.")]
_MOST_NAMED = 400
Numbers = Annotated[
    str,
    fastapi.Query(max_length=4096, description="Numbers of points, `3,17,4`; 400 at most.", pattern=r"^\d+(,\d+)*$"),
]


class MapColumn(BaseModel):
    """A column by which the map can be coloured."""

    column: str
    kind: Literal["values", "numbers", "dates"]
    texts: list[str | None] = Field(
        description="The values of the colours 0, 1, ...; of numbers and dates where each colour begins, null where it"
        " is open. The colour 254 is that of all other values, 255 that of images without one."
    )


class MapColumns(BaseModel):
    """The columns by which the map can be coloured."""

    columns: list[MapColumn]


class MapImages(BaseModel):
    """The images of some points, in their order."""

    images: list[schemas.Image]


def add_map_routes(app: FastAPI, collection: Collection) -> None:
    """Add the routes of the map."""
    _add_points(app, collection)
    _add_colours(app, collection)


def _add_points(app: FastAPI, collection: Collection) -> None:
    # The operation's name is part of the schema, from which clients are generated.
    @app.get("/map", response_model=schemas.Map, responses=ACCEPTED, operation_id="lay_out_map_get", summary="Lay Out")
    def project(method: Method = "tsne") -> Any:
        """Return the images as points on a plane, at most 100,000 of them."""
        return _working(collection, method) or collection.maps.document(method)

    @app.get("/map/points", response_class=Response, responses=BYTES | ACCEPTED)
    def points(method: Method = "tsne") -> Response:
        """Return up to 1,000,000 points: x and y of each in [0, 1], as float32, little-endian.

        The header `x-frieze-method` is the method that was used, `x-frieze-kept` PCA's share of the variance.
        """
        if working := _working(collection, method):
            return working
        laid_out = _points(collection, method)
        kept = {} if laid_out.kept is None else {"x-frieze-kept": f"{laid_out.kept:.4f}"}
        return _bytes(laid_out.positions.astype("<f4"), {"x-frieze-method": laid_out.method} | kept)

    @app.get("/map/images", response_model=MapImages, responses=ACCEPTED)
    def map_images(points: Numbers, method: Method = "tsne") -> Any:
        """Return the images of some points."""
        if working := _working(collection, method):
            return working
        numbers = [int(one) for one in points.split(",")]
        known = _points(collection, method)
        if max(numbers) >= len(known.rows) or len(numbers) > _MOST_NAMED:
            raise InputError("There is no such point.", hint=f"The map has {len(known.rows):,}; ask for 400 at most.")
        return {"images": indexing.take_rows(collection.index, known.rows[numbers])}


def _add_colours(app: FastAPI, collection: Collection) -> None:
    @app.get("/map/columns", response_model=MapColumns)
    def map_columns() -> dict[str, Any]:
        """Return the columns by which the map can be coloured, with the values that have a colour of their own."""
        return {"columns": [_describe(facet) for facet in collection.maps.columns()]}

    @app.get("/map/colours", response_class=Response, responses=BYTES | ACCEPTED)
    def map_colours(column: ColumnName, method: Method = "tsne") -> Response:
        """Return the colour of each point by a column, a byte each."""
        facet = next((one for one in collection.maps.columns() if one.column == column), None)
        if facet is None:
            names = ", ".join(one.column for one in collection.maps.columns())
            raise InputError(f"The map can't be coloured by {column}.", hint=f"Use one of: {names}.")
        if working := _working(collection, method):
            return working
        return _bytes(colour_codes(facet)[_points(collection, method).rows])

    @app.get("/map/passing", response_class=Response, responses=BYTES | ACCEPTED)
    def map_passing(where: Where = None, lasso: Lasso = None, method: Method = "tsne") -> Response:
        """Return for each point whether it passes a filter and lies in a lasso, a byte each: 1 or 0."""
        if working := _working(collection, method):
            return working
        passes = np.zeros(len(collection.index), np.uint8)
        passes[collection.filter(where or None, lasso or None)] = 1
        return _bytes(passes[_points(collection, method).rows])


def _points(collection: Collection, method: str) -> Points:
    return collection.maps.points(method).get()


def _working(collection: Collection, method: str) -> Response | None:
    """Start what is not there yet, and return status 202; None for a map that is there.

    Raises:
        InputError: The method's library is not installed.
    """
    check_method(method)
    result = collection.maps.points(method)
    if result.state not in ("idle", "working"):
        return None
    result.begin()
    return JSONResponse({"state": "working"}, 202)


def _bytes(values: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(values.tobytes(), media_type="application/octet-stream", headers=headers)


def _describe(facet: Facet) -> dict[str, Any]:
    texts = facet.texts if facet.kind == "values" else [None, *facet.texts]
    return {"column": facet.column, "kind": facet.kind, "texts": [texts[value] for value in coloured_values(facet)]}
