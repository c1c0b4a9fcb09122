"""Labels from paths, by a regular expression of the user's."""

import dataclasses
import re

import pyarrow as pa

from frieze.core import InputError
from frieze.embedder.sources.base import Source


def compile_label_pattern(pattern: str) -> re.Pattern[str]:
    """Compile the expression.

    Raises:
        InputError: It is no regular expression, or has several groups.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"`label_from={pattern!r}` is no regular expression: {error}.",
            hint=r"Write one whose group is the label, such as `label_from='batch_(\d+)/'`.",
        ) from error
    if compiled.groups > 1:
        raise InputError(
            f"`label_from={pattern!r}` has {compiled.groups} groups; expected is the label's alone.",
            hint="Write the others as (?:...).",
        )
    return compiled


def label_from_paths(source: Source, pattern: re.Pattern[str]) -> Source:
    """Label the images of a source by the first match of an expression in their ids: its group, or all of it.

    Args:
        source: The images; of a folder an id is the path below it.
        pattern: From `compile_label_pattern`.

    Raises:
        InputError: It matches none of them.
    """
    images = source.listing.images
    ids = images["id"].to_pylist()
    matches = [pattern.search(one) for one in ids]
    if ids and not any(matches):
        raise InputError(
            f"`label_from={pattern.pattern!r}` matches none of {len(ids):,} images; the first is {ids[0]}.",
            hint="It is searched for in the path below the source, with / between folders.",
        )
    labels = pa.array([match and match[pattern.groups] for match in matches], pa.string())
    images = images.set_column(images.column_names.index("label"), "label", labels)
    return dataclasses.replace(source, listing=dataclasses.replace(source.listing, images=images))
