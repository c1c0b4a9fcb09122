"""The route of facets, and its document."""

from typing import Any, Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from frieze.web.collection import Collection
from frieze.web.schemas import Lasso, Where


class FacetValue(BaseModel):
    """A value of a column; null for images without one."""

    text: str | None
    count: int = Field(description="Images with it that pass the conditions on all other columns.")
    total: int = Field(description="Images with it.")
    is_chosen: bool = Field(description="Whether the conditions on its column, if any, let it pass.")
    where: str = Field(description="The filter after a click on it: it is chosen as well, or no more. Empty for none.")


class FacetBin(BaseModel):
    """A bin of a histogram of numbers or dates, from `low` up to below `high`; null where it is open."""

    low: str | None
    high: str | None
    count: int = Field(description="Images in it that pass the conditions on all other columns.")
    total: int = Field(description="Images in it.")
    is_chosen: bool
    at_least: str = Field(description="The condition of its lower edge; empty for none.")
    below: str = Field(description="The condition of its upper edge; empty for none.")
    where: str = Field(description="The filter after a click on it. Empty for none.")


class Facet(BaseModel):
    """A column: its most frequent values, or its histogram."""

    column: str
    kind: Literal["values", "numbers", "dates"]
    rest: str = Field(description="The filter without the conditions on this column alone. Empty for none.")
    n_none: int = Field(description="Images without a value that pass the conditions on all other columns.")
    n_values: int
    values: list[FacetValue]
    bins: list[FacetBin]


class FacetCounts(BaseModel):
    """The facets of the collection under a filter."""

    where: str | None
    rows: int
    total: int = Field(description="Images that pass the filter.")
    facets: list[Facet]
    left_out: list[str] = Field(description="Columns without facets: lists, and those with nothing to choose.")


def add_facet_routes(app: FastAPI, collection: Collection) -> None:
    """Add the route that counts the values of each column."""

    @app.get("/facets", response_model=FacetCounts)
    def facets(where: Where = None, lasso: Lasso = None) -> Any:
        """Count the values of each column under a filter, in a lasso; each has the filter that a click on it makes."""
        inside = collection.maps.rows_inside(lasso) if lasso else None
        counts = collection.facets.count(where or None, inside)
        return JSONResponse(counts)  # validating each value takes as long as counting
