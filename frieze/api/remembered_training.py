"""What a head or a fine-tuning was asked for: who asks again asks for the same where nothing else is said."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from frieze.api.paths import is_url, to_place, to_table_place
from frieze.core import FeatureFileError, RecalledOptions, recall_options

_OF_NETWORK: dict[str, Any] = {"layers": "128", "dropout": 0.0, "epochs": 100, "patience": 5}
"""Mean something for `keras` only."""
DEFAULTS: dict[str, Any] = {
    "head": "linear",
    "kernel": "linear",
    "labels": None,
    "label": None,
    "test_size": 0.2,
    "split": None,
    "group": None,
    "shots": None,
    "balanced": False,
    "abstain": None,
    **_OF_NETWORK,
    "seed": 0,
}
"""What holds where nothing was asked for, now or before."""
_OF_ROWS = {"labels": ("label",), "label": ("labels",), "split": ("group",), "group": ("split",)}
_TOGETHER: dict[str, tuple[str, ...]] = {"head": ("kernel",), **_OF_ROWS}
"""Where one of these is asked for otherwise, what the head had of the others goes with it."""

FINETUNE_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(("backbone", "weights", "layer", "image_size", "pixels", "unfreeze")),
    "fit": "squash",
    "head": None,
    "layers": None,
    "epochs": 10,
    "learning_rate": 3e-4,
    "schedule": "cosine",
    "batch_size": 32,
    "patience": 5,
    "augment": True,
    "cache": False,
    **dict.fromkeys(("labels", "label")),
    "test_size": 0.2,
    **dict.fromkeys(("split", "group")),
    "seed": 0,
}
"""The same for `finetune`."""
_OF_BACKBONE = ("weights", "layer", "image_size", "pixels", "unfreeze")
_TEXTS = ("layers", "unfreeze")  # of which a number alone is as good as its text
_FINETUNE_TOGETHER: dict[str, tuple[str, ...]] = {"backbone": _OF_BACKBONE, **_OF_ROWS}


def recall_head(asked: Mapping[str, Any], features: str | Path, out: Path, *, force: bool) -> RecalledOptions:
    """Fill in the options of `train` that were left out with those of the head at `out`, then with the defaults.

    A head of another table, or one that was fine-tuned, is not asked.

    Args:
        asked: The options; None was left out, and an empty text asks for the default again.
        features: The table as it was asked for.
        out: The head's folder, there or not.
        force: Whether the head is made anew; else there is none before it.
    """
    given = _given(asked, DEFAULTS)
    before = _before(features, out) if force else {}
    head = given.get("head", before.get("head", DEFAULTS["head"]))
    before = {name: value for name, value in before.items() if head == "keras" or name not in _OF_NETWORK}
    return recall_options(given, before, DEFAULTS, dropped=_dropped(given, before, _TOGETHER))


def recall_finetuning(asked: Mapping[str, Any], before: Mapping[str, Any]) -> RecalledOptions:
    """Fill in the options of `finetune` that were left out with those of the time before, then with the defaults.

    Args:
        asked: The options; None was left out, and an empty text asks for the default again.
        before: What the model that is there, or is half done, was asked for; empty where there is none.
    """
    given = _given(asked, FINETUNE_DEFAULTS)
    known = {name: before[name] for name in FINETUNE_DEFAULTS if name in before}
    return recall_options(given, known, FINETUNE_DEFAULTS, dropped=_dropped(given, known, _FINETUNE_TOGETHER))


def _given(asked: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was not left out, as it is stored."""
    said = {name: asked[name] for name in defaults if asked[name] is not None}
    return {name: defaults[name] if value == "" else _plain(name, value) for name, value in said.items()}


def _dropped(
    given: Mapping[str, Any], before: Mapping[str, Any], together: Mapping[str, Collection[str]]
) -> Collection[str]:
    changed = [name for name in together if name in given and given[name] != before.get(name)]
    return [other for name in changed for other in together[name]]


def _plain(name: str, value: Any) -> Any:
    if name == "labels":
        return str(value if is_url(value) else to_place(value))
    if isinstance(value, tuple):  # height and width
        return "x".join(map(str, value))
    return str(value) if isinstance(value, Path) or name in _TEXTS else value


def _before(features: str | Path, out: Path) -> dict[str, Any]:
    """Return what the head at `out` was asked for; empty where nothing is to be remembered."""
    import frieze.classifiers

    try:
        document = frieze.classifiers.read_document(out)
    except FeatureFileError:  # there is none; or it is to be replaced, and need not be readable
        return {}
    is_other = document["features"]["path"] != str(to_table_place(features).resolve())
    if is_other or "finetuned" in document:
        return {}
    stored = {name: value for name, value in frieze.classifiers.read_request(document).items() if value is not None}
    return {name: stored.get(name, DEFAULTS[name]) for name in DEFAULTS if name in stored or name not in _OF_NETWORK}
