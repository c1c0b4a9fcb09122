"""The history of labels and tags: changes in the order in which they were made, any of which may be undone."""

import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field

from frieze.core import InputError
from frieze.embedder import LABEL_COLUMNS

LABEL = "label"
"""The column of labels whose images without a label here keep that of the table."""
_OTHER_COLUMNS = ("id", "tags", "who", "when", "held_out")
_READ_FIRST = LABEL_COLUMNS[: LABEL_COLUMNS.index(LABEL)]  # in place of `label`, by the commands


class Change(BaseModel):
    """A line of the log: labels and tags of some images, or a change that is undone or redone.

    Attributes:
        key: A name of its own.
        action: `set`; `undo` and `redo` of the change `of`; or `import` of `changes`, which nobody may undo.
        session: Who may undo it; None for nobody.
        who: Login name of who made it, None where unknown.
        when: When it was made.
        ids: The images.
        column: The column of the label.
        label: The label; None takes the image's label back. Only where `sets_label`.
        sets_label: Whether it changes labels at all.
        is_held_out: Whether the images were drawn at random to measure a head, which is not fitted on them. An image
            that is held out for a column stays so until its label is taken back.
        held_out: The images that were, where others were not.
        add: Tags to add.
        remove: Tags to remove.
        of: The key of the change that is undone or redone.
        changes: Those of a file that has no log: one line, so that a kill leaves all of them or none.
    """

    key: str = Field(default_factory=lambda: uuid.uuid4().hex)
    action: Literal["set", "undo", "redo", "import"] = "set"
    session: str | None = None
    who: str | None = None
    when: datetime = Field(default_factory=lambda: datetime.now(UTC))
    ids: list[str] = []
    column: str = LABEL
    label: str | None = None
    sets_label: bool = False
    is_held_out: bool = False
    held_out: set[str] = set()
    add: list[str] = []
    remove: list[str] = []
    of: str | None = None
    changes: "list[Change]" = []


class LabelledImage(NamedTuple):
    """What was said of an image.

    Attributes:
        labels: Column -> label.
        tags: Sorted.
        held_out: Columns for which the image was drawn at random to measure a head.
        who: Login name of who changed it last, None where unknown.
        when: When that was; None where nothing is said of it any more.
    """

    labels: dict[str, str]
    tags: list[str]
    held_out: list[str]
    who: str | None
    when: datetime | None


class LabelHistory:
    """All changes, and what they amount to.

    An undone change counts as never made, also where later ones of others follow it. Each session undoes and redoes
    its own changes, the last one first; a new change ends what it could redo.

    Attributes:
        images: Id -> what was said of the image, for each image of which something is.
    """

    def __init__(self) -> None:
        self.images: dict[str, LabelledImage] = {}
        self._changes: dict[str, Change] = {}
        self._undone: set[str] = set()
        self._keys: defaultdict[str, list[str]] = defaultdict(list)  # of the changes of an image
        self._to_undo: defaultdict[str, list[str]] = defaultdict(list)  # by session
        self._to_redo: defaultdict[str, list[str]] = defaultdict(list)

    def __len__(self) -> int:
        return len(self._changes)

    def apply(self, change: Change) -> list[str]:
        """Apply the next change of the log, and return the ids of the images that it changed."""
        if change.action == "import":
            return [image for one in change.changes for image in self.apply(one)]
        changed = self._record(change) if change.action == "set" else self._replay(change)
        for image in changed:
            self._fold(image)
        return changed

    def can_undo(self, session: str) -> bool:
        """Return whether a session has a change to undo."""
        return bool(self._to_undo.get(session))

    def can_redo(self, session: str) -> bool:
        """Return whether a session has undone a change since its last one."""
        return bool(self._to_redo.get(session))

    def last(self, *, is_undo: bool, session: str) -> str:
        """Return the key of the change that a session would undo, or redo.

        Raises:
            InputError: There is none.
        """
        keys = (self._to_undo if is_undo else self._to_redo).get(session)
        if not keys:
            action = "undo" if is_undo else "redo"
            raise InputError(f"There is nothing to {action}.", hint="Change a label or a tag first.")
        return keys[-1]

    def _record(self, change: Change) -> list[str]:
        self._changes[change.key] = change
        for image in change.ids:
            self._keys[image].append(change.key)
        if change.session is not None:
            self._to_undo[change.session].append(change.key)
            self._to_redo.pop(change.session, None)
        return change.ids

    def _replay(self, step: Change) -> list[str]:
        """Undo or redo a change and return its images; none where it is not there, or is so already."""
        change, is_undo = self._changes.get(step.of or ""), step.action == "undo"
        if change is None or (change.key in self._undone) == is_undo:
            return []
        (self._undone.add if is_undo else self._undone.discard)(change.key)
        stacks = (self._to_undo, self._to_redo) if is_undo else (self._to_redo, self._to_undo)
        if change.session is not None and change.key in stacks[0][change.session]:
            stacks[0][change.session].remove(change.key)
            stacks[1][change.session].append(change.key)
        return change.ids

    def _fold(self, image: str) -> None:
        changes = [self._changes[key] for key in self._keys[image] if key not in self._undone]
        labelled = _amount(image, changes)
        if labelled.labels or labelled.tags:
            self.images[image] = labelled
        else:
            self.images.pop(image, None)


def _amount(image: str, changes: Iterable[Change]) -> LabelledImage:
    """Return what changes of one image amount to."""
    labels: dict[str, str] = {}
    tags: set[str] = set()
    held_out: set[str] = set()
    last: Change | None = None
    for last in changes:
        tags = (tags | set(last.add)) - set(last.remove)
        if last.sets_label:
            labels.pop(last.column, None)
            labels |= {} if last.label is None else {last.column: last.label}
            held_out |= {last.column} if last.is_held_out or image in last.held_out else set()
            held_out &= labels.keys()
    who, when = (None, None) if last is None else (last.who, last.when)
    return LabelledImage(labels, sorted(tags), sorted(held_out), who, when)


def check_column(name: str) -> None:
    """Check the name of a column of labels.

    Raises:
        InputError: It is that of another column of the file, one that commands would read in place of `label`, or not
            printable.
    """
    if name.lower() in (*_OTHER_COLUMNS, *_READ_FIRST) or not name.isprintable() or name != name.strip():
        raise InputError(f"No column of labels can have the name {name!r}.", hint="Use another name.")


NOTHING = _amount("", [])
"""What is said of an image of which nothing is."""
