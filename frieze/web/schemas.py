"""The documents and parameters of the page's calls, for OpenAPI and for whoever calls them."""

from typing import Annotated, Any

import fastapi
from pydantic import BaseModel, ConfigDict, Field


class Prediction(BaseModel):
    """What the head takes an image for."""

    label: str
    probability: float = Field(ge=0, le=1)


class Hit(BaseModel):
    """One image that was found; the table's own columns stand beside these."""

    model_config = ConfigDict(extra="allow")

    id: str
    score: float
    label: str | None
    uri: str


class Query(BaseModel):
    """One query and its hits, best first; a higher score is nearer."""

    query: str
    hits: list[Hit]
    prediction: Prediction | None = None


class Found(BaseModel):
    """The document of `frieze search --json`."""

    index: str
    k: int
    where: str | None
    queries: list[Query]
    renamed: dict[str, str]
    zero_queries: list[str]
    n_zero: int | None
    stale: str | None


class Image(BaseModel):
    """What is known of an image; the table's own columns stand beside these."""

    model_config = ConfigDict(extra="allow")

    id: str
    label: str | None
    uri: str


class Images(BaseModel):
    """Some images, in the order of the table."""

    total: int
    start: int
    images: list[Image]


class LabelCount(BaseModel):
    """How many images have a label; null are those without."""

    label: str | None
    images: int


class HeadFacts(BaseModel):
    """The head that was given."""

    kind: str
    classes: list[str]


class Facts(BaseModel):
    """What the page shows."""

    index: str
    rows: int
    metric: str
    kind: str
    backbone: str
    backbone_state: str
    sees: str
    columns: dict[str, str]
    labels: list[LabelCount]
    head: HeadFacts | None
    stale: str | None


class Group(BaseModel):
    """Images that are duplicates of each other, the one to keep first."""

    model_config = ConfigDict(extra="allow")

    ids: list[str]
    min_score: float | None
    exact: bool


class Duplicates(BaseModel):
    """The document of `frieze duplicates --json`."""

    model_config = ConfigDict(extra="allow")

    groups: list[Group]
    rows: int


class Mistake(BaseModel):
    """An image whose label is not what the head says."""

    id: str
    label: str
    prediction: str
    probability: float


class Mistakes(BaseModel):
    """Mistakes of the head, surest first."""

    total: int
    mistakes: list[Mistake]


class Map(BaseModel):
    """Images as points on a plane; each list but `labels` has one entry a point."""

    method: str
    kept: float | None
    x: list[float]
    y: list[float]
    ids: list[str]
    labels: list[str]
    codes: list[int]


class Working(BaseModel):
    """What was asked for is being made: ask again in a second."""

    state: str


class Problem(BaseModel):
    """What is wrong, and what to do."""

    detail: str
    mend: str = ""


MOST = 1000


KEPT = "private, max-age=3600"
"""How long a browser keeps a picture: an image that is replaced has another one within the hour."""


Id = Annotated[str, fastapi.Query(description="An image's id.", max_length=4096)]


K = Annotated[int, fastapi.Query(ge=1, le=MOST, description="Hits at most.")]


Where = Annotated[str | None, fastapi.Query(max_length=4096, description="A filter, as of `frieze search --where`.")]


MinScore = Annotated[float | None, fastapi.Query(allow_inf_nan=False, description="Leave out hits below it.")]


Start = Annotated[int, fastapi.Query(ge=0, le=10**9)]


Count = Annotated[int, fastapi.Query(ge=0, le=MOST)]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Something in the request; the message says what to do."},
    403: {"model": Problem, "description": "Sent by another site's page."},
    408: {"model": Problem, "description": "What was brought came too slowly."},
    413: {"model": Problem, "description": "Too large."},
    421: {"model": Problem, "description": "Asked for under a name that is not this server's."},
}


BUSY: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "Too many wait; ask again."}}


GONE: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "No such image, or it is gone."}}


LATER: dict[int | str, dict[str, Any]] = {202: {"model": Working, "description": "It is being made."}}


IMAGE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}}


PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "A PNG."}}
