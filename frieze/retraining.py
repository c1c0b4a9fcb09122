"""What a head was asked for: `train --force` asks for the same again where it is not told otherwise."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from features import FeatureFileError, Recalled, fill_in
from frieze.places import is_url, to_place, to_table_place

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
_TOGETHER = {"head": "kernel", "labels": "label", "label": "labels", "split": "group", "group": "split"}
"""Where one of these is asked for otherwise, what the head had of the other goes with it."""


def recall_head(asked: Mapping[str, Any], features: str | Path, out: Path, *, force: bool) -> Recalled:
    """Fill in the options of `train` that were left out with those of the head at `out`, then with the defaults.

    A head of another table, or one that was fine-tuned, is not asked.

    Args:
        asked: The options; None was left out, and an empty text asks for the default again.
        features: The table as it was asked for.
        out: The head's folder, there or not.
        force: Whether the head is made anew; else there is none before it.
    """
    given = {name: _plain(name, asked[name]) for name in DEFAULTS if asked[name] is not None}
    before = _before(features, out) if force else {}
    head = given.get("head", before.get("head", DEFAULTS["head"]))
    before = {name: value for name, value in before.items() if head == "keras" or name not in _OF_NETWORK}
    return fill_in(given, before, DEFAULTS, dropped=_dropped(given, before))


def _dropped(given: Mapping[str, Any], before: Mapping[str, Any]) -> Collection[str]:
    return [other for name, other in _TOGETHER.items() if name in given and given[name] != before.get(name)]


def _plain(name: str, value: Any) -> Any:
    if value == "":
        return DEFAULTS[name]
    return str(value if is_url(value) else to_place(value)) if name == "labels" else value


def _before(features: str | Path, out: Path) -> dict[str, Any]:
    """Return what the head at `out` was asked for; empty where nothing is to be remembered."""
    import classifiers

    try:
        document = classifiers.read_document(out)
    except FeatureFileError:  # there is none; or it is to be replaced, and need not be readable
        return {}
    is_other = document["features"]["path"] != str(to_table_place(features).resolve())
    if is_other or "finetuned" in document:
        return {}
    stored = {name: value for name, value in classifiers.read_request(document).items() if value is not None}
    return {name: stored.get(name, DEFAULTS[name]) for name in DEFAULTS if name in stored or name not in _OF_NETWORK}
