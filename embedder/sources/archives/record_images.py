"""The images of a TFRecord's record: one, encoded or as bare samples, or the frames of a sequence."""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from frieze.embedder.images.signatures import is_image
from frieze.embedder.sources.archives.example import Record
from frieze.embedder.sources.archives.samples import encode_samples, stated_shape
from frieze.embedder.sources.tables.column_names import IMAGE

_IMAGE_FIRST = dict.fromkeys(IMAGE)
MIN_BYTES = 12
"""No image file is smaller."""


class RecordImage(NamedTuple):
    """One image of a record.

    Attributes:
        name: The feature that holds it.
        data: Its bytes: of a file, or bare samples.
        shape: Height, width and channels of bare samples; None for an encoded image.
        features: The other features, of a sequence those of its frame.
        frame: Its number, where the record has several; None for the record's only image.
    """

    name: str
    data: bytes
    shape: tuple[int, int, int] | None
    features: dict[str, Any]
    frame: int | None = None

    def encode(self) -> bytes:
        """Return the image as the bytes of a file."""
        return (
            self.data if self.shape is None else encode_samples(np.frombuffer(self.data, np.uint8).reshape(self.shape))
        )


def find_images(record: Record, option: str | None) -> Iterator[RecordImage]:
    """Yield the images of a record, lazily.

    Args:
        record: The record.
        option: The feature that holds its images; by default the first with the signature of an image, or of as many
            bytes as the record's height and width state, common names first. Of a SequenceExample without an image in
            its context, the first list of images.
    """
    features = record.features
    name = next(iter(image_names(features, option)), None)
    if name is None:
        yield from _frames(record, option)
        return
    data = features[name][0]
    rest = {other: values for other, values in features.items() if other != name}
    yield RecordImage(name, data, stated_shape(features, data), rest | _joined(record.frames))


def image_names(features: dict[str, Any], option: str | None) -> list[str]:
    """Return the features that may be the image of a record, the most likely first."""
    names = _IMAGE_FIRST | dict.fromkeys(features) if option is None else {option: None}
    single = [name for name in names if name in features and is_single(features[name])]
    recognized = [name for name in single if is_known(features, features[name][0])]
    return recognized + [name for name in single if (name == option or name in IMAGE) and name not in recognized]


def is_single(values: Any) -> bool:
    """Return whether the values of a feature are one text or image."""
    return isinstance(values, list) and len(values) == 1


def is_known(features: dict[str, Any], data: bytes) -> bool:
    """Return whether bytes are an image, by their signature or by the shape that the record states."""
    may_be_file = len(data) >= MIN_BYTES  # most texts are shorter, and the signatures of a million cost minutes
    return (may_be_file and is_image(data)) or stated_shape(features, data) is not None


def list_names(record: Record, option: str | None = None) -> list[str]:
    """Return the lists of images of a record, the most likely first."""
    lists = _lists(record)
    if not lists:
        return []
    names = dict.fromkeys((*IMAGE, *lists) if option is None else (option,))
    return [name for name in names if any(is_known(record.features, _only(one)) for one in lists.get(name, ())[:1])]


def _lists(record: Record) -> dict[str, list[Any]]:
    """Return the values of each frame by name; several images in one feature of an Example are frames, too."""
    several = {
        name: [[value] for value in values]
        for name, values in record.features.items()
        if isinstance(values, list) and len(values) > 1
    }
    return several | record.frames


def _frames(record: Record, option: str | None) -> Iterator[RecordImage]:
    names = list_names(record, option)
    if not names:
        return
    lists, name = _lists(record), names[0]
    context = {other: values for other, values in record.features.items() if other != name}
    others = {
        other: values for other, values in record.frames.items() if other != name and len(values) == len(lists[name])
    }
    for number, values in enumerate(lists[name]):
        data = _only(values)
        columns = context | {other: of_frames[number] for other, of_frames in others.items()}
        yield RecordImage(name, data, stated_shape(context, data), columns, number)


def _only(values: Any) -> bytes:
    """Return the only value of a frame, if it is bytes; else none."""
    return values[0] if is_single(values) else b""


def _joined(frames: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the lists that describe the one image of a context, such as the words of its caption."""
    return {
        name: np.concatenate(values) if isinstance(values[0], np.ndarray) else list(itertools.chain(*values))
        for name, values in frames.items()
        if values and len({type(one) for one in values}) == 1
    }
