"""The documents and parameters of the page's routes, for OpenAPI."""

from typing import Annotated, Any, Literal

import fastapi
from pydantic import BaseModel, ConfigDict, Field


class Prediction(BaseModel):
    """The head's prediction for an image."""

    label: str
    probability: float = Field(ge=0, le=1)


class Hit(BaseModel):
    """One hit; the table's other columns are extra fields."""

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
    min_score: float | None
    per: str | None
    diverse: float | None
    queries: list[Query]
    renamed: dict[str, str]
    zero_queries: list[str]
    n_zero: int | None
    notes: list[str]
    stale: str | None


class Image(BaseModel):
    """The metadata of an image; the table's other columns are extra fields."""

    model_config = ConfigDict(extra="allow")

    id: str
    label: str | None
    uri: str


class Exif(BaseModel):
    """What the camera wrote into an image file; a field that it did not write is left out."""

    camera: str = ""
    lens: str = ""
    taken: str = Field("", description="As the camera's clock had it: YYYY-MM-DD hh:mm:ss, and perhaps its offset.")
    exposure: str = Field("", description="Time, aperture, sensitivity and focal length.")
    orientation: str = Field("", description="How the file is turned; pictures of the page are upright.")


class Images(BaseModel):
    """Some images, in the order of the table."""

    total: int
    start: int
    images: list[Image]


class LabelCount(BaseModel):
    """How many images have a label; null for images without one."""

    label: str | None
    images: int


class HeadFacts(BaseModel):
    """The head of the page."""

    kind: str
    classes: list[str]


class Facts(BaseModel):
    """The collection that the page shows."""

    index: str
    rows: int
    metric: str
    kind: str
    backbone: str
    backbone_state: str
    sees: str
    has_words: bool
    columns: dict[str, str]
    labels: list[LabelCount]
    head: HeadFacts | None
    stale: str | None


class Member(BaseModel):
    """A copy of a group's keeper: how it differs, their score, and the share of the keeper's picture that it shows."""

    model_config = ConfigDict(extra="allow")

    id: str
    uri: str
    kind: str
    score: float | None
    overlap: float | None


class Group(BaseModel):
    """Images that are duplicates of each other, the one to keep first; `members` are all others."""

    model_config = ConfigDict(extra="allow")

    ids: list[str]
    min_score: float | None
    exact: bool
    members: list[Member]


class LookAlikes(BaseModel):
    """Images whose vectors are near each other, and which are not confirmed as copies."""

    model_config = ConfigDict(extra="allow")

    ids: list[str]
    min_score: float | None


class Duplicates(BaseModel):
    """The document of `frieze duplicates --json`."""

    model_config = ConfigDict(extra="allow")

    groups: list[Group]
    look_alikes: list[LookAlikes]
    rows: int


Name = Annotated[str, Field(min_length=1, max_length=4096)]


class Decision(BaseModel):
    """Which image of a pair to keep: `id`, `other` or `both`; null takes an earlier decision back."""

    model_config = ConfigDict(extra="forbid")

    id: Name
    other: Name
    keep: Literal["id", "other", "both"] | None


class Decisions(BaseModel):
    """The decisions on pairs of images, the last one of each pair, in the order in which they were made."""

    path: str = Field(description="The file in which they are stored.")
    is_writable: bool = Field(description="Whether the server may write that file.")
    decisions: list[Decision]


class Mistake(BaseModel):
    """An image whose label differs from the head's prediction."""

    id: str
    label: str
    prediction: str
    probability: float


class Mistakes(BaseModel):
    """Mistakes of the head, most confident first."""

    total: int
    mistakes: list[Mistake]


class LabelAccuracy(BaseModel):
    """How often heads are right on images that they were not fitted on, by the labels as they are now."""

    accuracy: float
    interval: list[float] = Field(description="95 %, Wilson; over groups where images come in groups.")


class Retrained(BaseModel):
    """What the file's labels change: heads on the table's labels, and on the labels as they are now."""

    n: int = Field(description="Images that were judged: those with a label of five images or more.")
    n_corrected: int = Field(description="Labels of the file that differ from the table's.")
    n_confirmed: int = Field(description="Labels of the file that are the table's.")
    before: LabelAccuracy
    after: LabelAccuracy


class Map(BaseModel):
    """Images as points on a plane; each list but `labels` has one entry per point."""

    method: str
    kept: float | None
    x: list[float]
    y: list[float]
    ids: list[str]
    labels: list[str]
    codes: list[int]


class Working(BaseModel):
    """The result is being computed: ask again in a second."""

    state: str


class Problem(BaseModel):
    """What is wrong, and what to do."""

    detail: str
    mend: str = ""


MAX_COUNT = 1000
CACHE_CONTROL = "private, max-age=3600"
"""How long a browser caches a picture, and shows the old one of a replaced image at most."""


Id = Annotated[str, fastapi.Query(description="An image's id.", max_length=4096)]
Text = Annotated[
    str, fastapi.Query(description="`a red bird|a photo of a bird|-a drawing`, as after `text:`.", max_length=4096)
]
K = Annotated[int, fastapi.Query(ge=1, le=MAX_COUNT, description="Maximum number of hits.")]
Where = Annotated[str | None, fastapi.Query(max_length=4096, description="A filter, as in `frieze search --where`.")]
Lasso = Annotated[
    str | None,
    fastapi.Query(max_length=16_384, description="A polygon on the map, `METHOD:x,y;x,y;...`: images inside it."),
]
MinScore = Annotated[float | None, fastapi.Query(allow_inf_nan=False, description="Leave out hits below this score.")]
Start = Annotated[int, fastapi.Query(ge=0, le=10**9)]
Count = Annotated[int, fastapi.Query(ge=0, le=MAX_COUNT)]


Token = Annotated[str, fastapi.Header(alias="x-frieze-token", description="The token that was printed at the start.")]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Invalid request; the message says what to do."},
    403: {"model": Problem, "description": "Sent by another site's page, or without the token that writing needs."},
    408: {"model": Problem, "description": "The upload was too slow."},
    413: {"model": Problem, "description": "Too large."},
    421: {"model": Problem, "description": "The host name is not this server's."},
    422: {"model": Problem, "description": "The body has a field that there is not."},
}
BUSY: dict[int | str, dict[str, Any]] = {503: {"model": Problem, "description": "The queue is full; ask again."}}
ACCEPTED: dict[int | str, dict[str, Any]] = {202: {"model": Working, "description": "The result is being computed."}}


IMAGE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


PICTURE: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}, "description": "A JPEG."}}
ORIGINAL: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {f"image/{name}": {} for name in ("jpeg", "png", "webp", "gif", "avif")},
        "description": "An image of all pixels.",
    }
}
PNG: dict[int | str, dict[str, Any]] = {200: {"content": {"image/png": {}}, "description": "A PNG."}}
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "An array, in the order of the points."}
}
