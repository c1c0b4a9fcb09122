"""The documents of the routes of labels and teaching, for OpenAPI."""

from datetime import datetime
from typing import Annotated, Literal

import fastapi
from pydantic import BaseModel, ConfigDict, Field

from frieze.web.schemas import Name

Tag = Annotated[str, Field(min_length=1, max_length=200)]
ColumnName = Annotated[str, fastapi.Query(min_length=1, max_length=200, description="A column of the file of labels.")]
Session = Annotated[str, Field(max_length=100, description="Who may undo it: each session undoes its own changes.")]


class LabelChange(BaseModel):
    """Labels and tags of some images, or the last change of a session that is undone or redone."""

    model_config = ConfigDict(extra="forbid")

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

    model_config = ConfigDict(extra="forbid")

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


class HeldOut(BaseModel):
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
    held_out: HeldOut
    seconds: float


class CurvePoint(BaseModel):
    """How a head does that was fitted on the first answers."""

    n_answers: int
    n_right: int
    accuracy: float
    interval: list[float] = Field(description="95 %, Wilson.")


class Curve(BaseModel):
    """The learning curve: all points are measured on the same images, those that were drawn at random."""

    column: str
    n_held_out: int
    points: list[CurvePoint] = Field(description="None with fewer than two labels, or no held-out answer.")


class HeadRequest(BaseModel):
    """A column of the file of labels to train a head on, and the head's name."""

    model_config = ConfigDict(extra="forbid")

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
