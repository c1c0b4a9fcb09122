"""The stored request: options of a table's last run are the defaults of its next run."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from frieze.core import InputError, RecalledOptions, TablePath, recall_options
from frieze.embedder.backbones import BackboneRequest
from frieze.embedder.images.limits import Limits
from frieze.embedder.job.options import JobOptions
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import has_columns, is_listed_as
from frieze.embedder.sources.tables.labels import is_correction
from frieze.features import Manifest, is_features, read_manifest

_OF_BACKBONE = (
    "weights",
    "layer",
    "pool",
    "image_size",
    "fit",
    "pixels",
    "stretch",
    "scale",
    "bands",
    "precision",
    "views",
    "text_encoder",
)
"""Options that shape the rows of one backbone, and mean nothing for another."""
_OF_SOURCE = (
    "labels",
    "image",
    "id",
    "label",
    "label_from",
    "query",
    "boxes",
    "box_columns",
    "tiles",
    "frames",
    "exclude",
)
_PARTS = ("boxes", "box_columns", "tiles")
"""Options of which one at most says which parts of images are rows."""
_OF_RUN = ("max_pixels", "max_bytes", "accept_truncated", "image_timeout", "engine", "accept_drift", "stats")
_NAMES = ("backbone", *_OF_BACKBONE, *_OF_SOURCE, *_OF_RUN)


def recall_embed_options(options: Mapping[str, Any], source: Any, out: TablePath) -> RecalledOptions:
    """Recall missing options from the table's last run, then take the defaults.

    A backbone other than the table's starts with its own defaults; with `--force` so does another source.

    Args:
        options: Of `frieze.embed`, with absolute paths; None (for `exclude`: empty) is missing, and an empty string
            resets an option to its default.
        source: What `open_source` takes.
        out: The table's folder; it need not exist.

    Raises:
        InputError: The table is broken, and `force` is false; or its labels would be lost to a file of corrections.
    """
    given = {name: _to_stored(name, options[name]) for name in _NAMES if not _is_missing(name, options[name])}
    before = _stored(source, out, force=options["force"])
    _check_labels_stay(before, given, out)
    recalled = recall_options(given, before, _DEFAULTS, dropped=_meaningless(before, given, source))
    return recalled._replace(options=dict(options) | recalled.options)


def _check_labels_stay(before: Mapping[str, Any], given: Mapping[str, Any], out: TablePath) -> None:
    """Check that labels which a file of corrections would leave alone are those by folder: it replaces all others."""
    labels = given.get("labels", "")
    others = [name for name in ("labels", "label", "label_from") if before and before[name] != _DEFAULTS[name]]
    is_own_column = given.get("label", "label") != "label"
    if not others or before["labels"] == labels or is_own_column or not is_correction(labels):
        return
    reset = "labels='folder'" if others[0] == "labels" else f"{others[0]}=''"
    raise InputError(
        f"The labels of {out} come from `{others[0]}={before[others[0]]!r}`, and images that {labels} does not name"
        " would lose them.",
        hint=f"Leave them in the table, and correct them where they are read: frieze train {out} --labels {labels}\n"
        f"To correct the names of folders instead, embed once more first, with `{reset}`.",
    )


def _meaningless(before: Mapping[str, Any], given: Mapping[str, Any], source: Any) -> Sequence[str]:
    """Return the stored options that mean nothing beside the given ones."""
    changed = {name for name, value in given.items() if name in before and before[name] != value}
    names: list[str] = []
    if "backbone" in changed:
        names += _OF_BACKBONE
    if "labels" in changed:  # names of columns belong to the file
        names += ["label", "label_from"] if has_columns(source) else ["label", "label_from", "id"]
    if any(name in changed and given[name] for name in _PARTS):
        names += [name for name in _PARTS if name not in given]
    return names


def to_request(request: BackboneRequest, options: JobOptions) -> dict[str, Any]:
    """Return the options that a table stores: all that shape its rows."""
    of_run = {name: getattr(options, name) for name in ("engine", "accept_drift", "stats")}
    return (
        request.to_json()
        | options.source.to_json()
        | options.limits.to_json()
        | {name: value for name, value in of_run.items() if value != _DEFAULTS[name]}
    )


def _find_defaults() -> dict[str, Any]:
    fields = [dataclasses.asdict(kind()) for kind in (BackboneRequest, SourceOptions, Limits, JobOptions)]
    defaults = {name: value for one in reversed(fields) for name, value in one.items()}
    defaults |= {"backbone": defaults["handle"], "exclude": list(defaults["exclude"])}
    return {name: defaults[name] for name in _NAMES}


_DEFAULTS = _find_defaults()


def _is_missing(name: str, value: Any) -> bool:
    return value is None or (name == "exclude" and not len(value) and value != "")


def _to_stored(name: str, value: Any) -> Any:
    """Return an option's value as a table stores it."""
    if name == "exclude":
        return [value] if isinstance(value, str) and value else [one for one in value if one]
    if value == "":
        return _DEFAULTS[name]
    if name == "backbone":
        return BackboneRequest(handle=str(value)).to_json()["handle"]
    if name in ("weights", "text_encoder", "scale", "bands"):
        given: dict[str, Any] = {name: str(value)}
        return BackboneRequest(**given).to_json()[name]
    if name == "image_size":
        return BackboneRequest(image_size=value).to_json()["image_size"]
    return str(value) if name == "frames" else value  # Python's number of frames is the command's text


def _stored(source: Any, out: TablePath, *, force: bool) -> dict[str, Any]:
    """Return every option of a table's last run; empty where none applies."""
    try:
        manifest = read_manifest(out) if is_features(out) else None
    except InputError:
        if force:  # it is replaced, and need not be readable
            return {}
        raise
    if manifest is None or manifest.spec.is_made_elsewhere:
        return {}
    stored = manifest.request | _stored_backbone(manifest)
    if not is_listed_as(source, manifest.source):
        if force:
            return {}
        stored = {name: value for name, value in stored.items() if name not in _OF_SOURCE}
    return {name: stored.get(name, _DEFAULTS[name]) for name in _NAMES}


def _stored_backbone(manifest: Manifest) -> dict[str, Any]:
    """Return the options of a table's backbone; a relative path is made absolute."""
    request = BackboneRequest.of(manifest.spec).to_json()
    request |= {name: value for name, value in manifest.request.items() if name in request}
    return request | {
        "backbone": manifest.spec.handle if _is_relative(request["handle"]) else request["handle"],
        "weights": manifest.spec.weights,
    }


def _is_relative(handle: str) -> bool:
    return bool(BackboneRequest(handle=handle).to_json()["handle"] != handle)
