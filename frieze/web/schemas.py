"""The documents and parameters of the page's routes, for OpenAPI."""

from datetime import datetime
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

    id: Name
    other: Name
    keep: Literal["id", "other", "both"] | None


class Decisions(BaseModel):
    """The decisions on pairs of images, the last one of each pair, in the order in which they were made."""

    path: str = Field(description="The file in which they are stored.")
    is_writable: bool = Field(description="Whether the server may write that file.")
    decisions: list[Decision]


Tag = Annotated[str, Field(min_length=1, max_length=200)]
Session = Annotated[str, Field(max_length=100, description="Who may undo it: each session undoes its own changes.")]


class LabelChange(BaseModel):
    """Labels and tags of some images, or the last change of a session that is undone or redone."""

    action: Literal["set", "undo", "redo"] = "set"
    session: Session = ""
    ids: list[Name] = Field([], max_length=100_000)
    column: Tag = Field("label", description="The column of the label; images without a `label` keep the table's.")
    label: Name | None = Field(None, description="The label; null takes it back. Left out, labels stay as they are.")
    held_out: bool | Annotated[list[Name], Field(max_length=100_000)] = Field(
        default=False,
        description="Whether `/teach` drew the images at random, to measure the head, or a list of those that it did."
        " Images that are held out stay so until their label is null.",
    )
    add: list[Tag] = Field([], max_length=1000, description="Tags to add.")
    remove: list[Tag] = Field([], max_length=1000, description="Tags to remove.")


class LabelledImage(BaseModel):
    """What was said of an image: a label a column, and tags."""

    id: str
    labels: dict[str, str]
    tags: list[str]
    held_out: list[str] = Field(description="Columns for which the image was drawn at random, to measure a head on.")
    who: str | None
    when: datetime | None


class Labels(BaseModel):
    """The file of labels, and some images of it: those that the request changed, or all."""

    path: str
    is_writable: bool
    can_undo: bool
    can_redo: bool
    columns: dict[str, dict[str, int]] = Field(description="Column -> label -> number of images.")
    tags: dict[str, int]
    images: list[LabelledImage]


class TeachRequest(BaseModel):
    """What to learn: the labels of a column of the file of labels."""

    column: Tag = "label"
    of: Name | None = Field(None, description="Rank by this label; null for the one named first in the answer.")
    start: int = Field(0, ge=0, le=10**9)
    n: int = Field(60, ge=0, le=1000, description="Number of ranked images.")
    ask: int = Field(12, ge=0, le=100, description="Number of questions.")


class TaughtClass(BaseModel):
    """A label, the images that have it in the file, and those that the head is sure of."""

    label: str
    n_answers: int
    n_sure: int


class RankedImage(BaseModel):
    """An image, its probability (with one label alone: its cosine to the mean of the examples), and its answer."""

    id: str
    score: float
    answer: str | None


class Question(BaseModel):
    """An image to ask about; `held_out` belongs into the answer's `POST /labels`."""

    id: str
    held_out: bool


class HeldOutPredictions(BaseModel):
    """How the head does on images that were drawn at random, on which it was not fitted."""

    n: int
    n_right: int
    accuracy: float | None
    interval: list[float] | None = Field(description="95 %, Wilson.")


class Taught(BaseModel):
    """A head that was fitted on the answers so far, and the images to ask about next."""

    column: str
    rows: int
    classes: list[TaughtClass]
    n_unsure: int
    of: str | None
    ranked: list[RankedImage]
    questions: list[Question]
    held_out: HeldOutPredictions
    seconds: float


class HeadRequest(BaseModel):
    """A column of the file of labels to train a head on, and the head's name."""

    column: Tag = "label"
    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_ .-]{0,99}$", description="The head's folder, without `.head`.")


class KeptHead(BaseModel):
    """A head that was trained, as `frieze train` does, and the command that trains the same one."""

    model_config = ConfigDict(extra="allow")

    out: str
    command: str
    accuracy: float
    confidence_interval: list[float]
    classes: list[str]


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
