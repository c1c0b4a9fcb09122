"""The options of `index`, `train` and `finetune`: a repeated command keeps the options of the last run."""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from frieze.api.paths import is_url, to_local_or_bucket_path, to_local_path
from frieze.core import FeatureFileError, RecalledOptions, TablePath, recall_options
from frieze.features import read_manifest

_OF_NETWORK = ("layers", "dropout", "epochs", "patience")
"""Options of `keras` heads only."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of `train` that head.json stores, with their defaults; see `frieze.train`."""

    head: str = "linear"
    kernel: str = "linear"
    labels: str | None = None
    label: str | None = None
    test_size: float = 0.2
    split: str | None = None
    group: str | None = None
    shots: int | None = None
    balanced: bool = False
    start_from: str | None = None
    abstain: float | None = None
    layers: str = "128"
    dropout: float = 0.0
    epochs: int = 100
    patience: int = 5
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneOptions:
    """The options of `finetune`, with their defaults; see `frieze.finetune`."""

    source: str
    trust_backbone: bool = False
    backbone: str | None = None
    weights: str | None = None
    layer: str | None = None
    pool: str | None = None
    image_size: int | str | None = None
    pixels: str | None = None
    unfreeze: str | None = None
    fit: str = "squash"
    head: str | None = None
    layers: str | None = None
    epochs: int = 10
    learning_rate: float = 3e-4
    schedule: str = "cosine"
    batch_size: int = 32
    patience: int = 5
    augment: bool = True
    cache: bool = False
    labels: str | None = None
    label: str | None = None
    test_size: float = 0.2
    split: str | None = None
    group: str | None = None
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return what is stored: everything but trust, which is given for one run."""
        return {name: value for name, value in dataclasses.asdict(self).items() if name != "trust_backbone"}


INDEX_DEFAULTS: dict[str, Any] = {"metric": "cosine", "recall": 0.95, "kind": "auto", "max_memory": None}
"""Options that index.json stores -> default."""
TRAIN_DEFAULTS: dict[str, Any] = dataclasses.asdict(TrainOptions())
"""Options of `train` that a later run with `force` keeps -> default."""
FINETUNE_DEFAULTS: dict[str, Any] = {
    name: value
    for name, value in dataclasses.asdict(FinetuneOptions(source="")).items()
    if name not in ("source", "trust_backbone")
}
"""The same for `finetune`."""
_OF_ROWS = {"labels": ("label",), "label": ("labels",), "split": ("group",), "group": ("split",)}
_RESETS: dict[str, tuple[str, ...]] = {"head": ("kernel", "start_from"), **_OF_ROWS}
"""Option -> those whose stored values no longer apply where it changes."""
_OF_BACKBONE = ("weights", "layer", "pool", "image_size", "pixels", "unfreeze")
_FINETUNE_RESETS: dict[str, tuple[str, ...]] = {"backbone": _OF_BACKBONE, **_OF_ROWS}
_TEXTS = ("layers", "unfreeze")  # stored as text, also where given as a number


def resolve_index_options(options: Mapping[str, Any], features: str | Path, out: Path) -> RecalledOptions:
    """Fill in omitted options of `index` from the index at `out`, then from the defaults.

    An index of another table is ignored.

    Args:
        options: Every option of `INDEX_DEFAULTS`; None was omitted, and an empty text restores the default.
        features: The table, as the user typed it.
        out: The index's folder, existing or not.
    """
    return recall_options(_given(options, INDEX_DEFAULTS), _read_index_options(features, out), INDEX_DEFAULTS)


def resolve_train_options(
    options: Mapping[str, Any], features: str | Path, out: Path, *, force: bool
) -> RecalledOptions:
    """Fill in omitted options of `train` from the head at `out`, then from the defaults.

    A head of another table, or a fine-tuned one, is ignored.

    Args:
        options: Every option of `TRAIN_DEFAULTS`; None was omitted, and an empty text restores the default.
        features: The table, as the user typed it.
        out: The head's folder, existing or not.
        force: Whether an existing head is replaced; else it is ignored.
    """
    given = _given(options, TRAIN_DEFAULTS)
    before = _read_train_options(features, out) if force else {}
    head = given.get("head", before.get("head", TRAIN_DEFAULTS["head"]))
    before = {name: value for name, value in before.items() if head == "keras" or name not in _OF_NETWORK}
    return recall_options(given, before, TRAIN_DEFAULTS, dropped=_dropped(given, before, _RESETS))


def resolve_finetune_options(options: Mapping[str, Any], before: Mapping[str, Any]) -> RecalledOptions:
    """Fill in omitted options of `finetune` from the last run, then from the defaults.

    Args:
        options: Every option of `FINETUNE_DEFAULTS`; None was omitted, and an empty text restores the default.
        before: The options of the existing model or the interrupted run; empty where there is none.
    """
    given = _given(options, FINETUNE_DEFAULTS)
    known = {name: before[name] for name in FINETUNE_DEFAULTS if name in before}
    return recall_options(given, known, FINETUNE_DEFAULTS, dropped=_dropped(given, known, _FINETUNE_RESETS))


def _given(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were not omitted, as they are stored."""
    if unknown := options.keys() ^ defaults.keys():
        raise TypeError(f"options without a default, or missing: {sorted(unknown)}")
    given = {name: options[name] for name in defaults if options[name] is not None}
    return {name: defaults[name] if value == "" else _to_stored(name, value) for name, value in given.items()}


def _dropped(
    given: Mapping[str, Any], before: Mapping[str, Any], resets: Mapping[str, Collection[str]]
) -> Collection[str]:
    changed = [name for name in resets if name in given and given[name] != before.get(name)]
    return [other for name in changed for other in resets[name]]


def _to_stored(name: str, value: Any) -> Any:
    if name in ("labels", "start_from"):
        return str(value if is_url(value) else to_local_path(value))
    if isinstance(value, tuple):  # height and width
        return "x".join(map(str, value))
    return str(value) if isinstance(value, Path) or name in _TEXTS else value


def _read_train_options(features: str | Path, out: Path) -> dict[str, Any]:
    """Return the stored options of the head at `out`; empty where there is none to keep."""
    import frieze.classifiers

    try:
        document = frieze.classifiers.read_head_json(out)
    except FeatureFileError:  # there is none; or it is to be replaced, and may be unreadable
        return {}
    is_other = document["features"]["path"] != str(to_local_or_bucket_path(features).resolve())
    if is_other or {"finetuned", "zero_shot"} & document.keys():
        return {}
    stored = {
        name: value for name, value in frieze.classifiers.read_train_options(document).items() if value is not None
    }
    return {
        name: stored.get(name, TRAIN_DEFAULTS[name])
        for name in TRAIN_DEFAULTS
        if name in stored or name not in _OF_NETWORK
    }


def _read_index_options(features: str | Path, out: Path) -> dict[str, Any]:
    """Return the stored options of the index at `out`; empty where there is none to keep."""
    import frieze.indexing

    try:
        document = frieze.indexing.read_document(out)
    except FeatureFileError:  # there is none; or it is to be replaced, and may be unreadable
        return {}
    if not _is_index_of(document["features"], to_local_or_bucket_path(features)):
        return {}
    return {name: document["request"].get(name, default) for name, default in INDEX_DEFAULTS.items()}


def _is_index_of(made_of: Mapping[str, Any], table: TablePath) -> bool:
    """Return whether an index was made of a table, which may have moved or changed since."""
    if to_local_or_bucket_path(made_of["path"]).resolve() == table.resolve():
        return True
    try:
        return bool(read_manifest(table).generation == made_of["generation"])
    except FeatureFileError:  # reported by whoever opens it
        return False
