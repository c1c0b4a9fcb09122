"""Which arrays of a file are images, and which are their labels, by their names: `x_train` and `y_train`."""

import posixpath
import re

_IMAGES = frozenset(("image", "images", "img", "imgs", "x", "data", "pixels"))
_LABELS = frozenset(("label", "labels", "y", "target", "targets", "class", "classes", "cls"))
_OTHERS = frozenset(("mask", "masks", "seg", "segmentation", "segmentations", "depth"))
_SPLITS = frozenset(("train", "training", "test", "val", "valid", "validation", "dev"))
_FORMAT = re.compile(r"idx\d|ubyte|npy|gz|orig|set")
"""Parts of names that tell of files, as in MNIST's `train-images-idx3-ubyte`, and not of what they hold."""


def _parts(name: str) -> frozenset[str]:
    """Return the parts of an array's own name, without its group."""
    parts = re.split(r"[\W_]+", posixpath.basename(name).lower())
    return frozenset(part for part in parts if part and not _FORMAT.fullmatch(part))


def are_images(name: str) -> bool:
    """Return whether a name says that an array holds images.

    >>> [are_images(name) for name in ("train/images", "x_test", "train-images-idx3-ubyte", "image_masks", "stack")]
    [True, True, True, False, False]
    """
    parts = _parts(name)
    return bool(parts & _IMAGES) and not parts & (_LABELS | _OTHERS)


def are_labels(name: str, images: str) -> bool:
    """Return whether a name says that an array holds the labels of some images in its group.

    >>> [are_labels(name, "x_train") for name in ("y_train", "y_test", "fine_labels_train", "labels")]
    [True, False, False, False]
    >>> are_labels("labels", "images"), are_labels("train-labels-idx1-ubyte", "train-images-idx3-ubyte")
    (True, True)
    """
    parts = _parts(name)
    return bool(parts & _LABELS) and parts - _LABELS == _parts(images) - _IMAGES


def may_describe(name: str, images: str) -> bool:
    """Return whether an array of as many values may be of the same images: not of another split.

    >>> may_describe("age", "x_train"), may_describe("age_test", "x_train")
    (True, False)
    """
    return _parts(name) & _SPLITS <= _parts(images)


def split_of(name: str, group: str) -> str | None:
    """Return the split that an array's name or its group names.

    >>> split_of("x_train", ""), split_of("images", "val"), split_of("images", "")
    ('train', 'val', None)
    """
    return min((_parts(name) | _parts(group)) & _SPLITS, default=None)
