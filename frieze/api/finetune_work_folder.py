"""The work folder of a fine-tuning: what an interrupted run leaves, and whether another run may resume it."""

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from frieze import core
from frieze.features import Features

_LOG = logging.getLogger("frieze")
_OPTIONS = "options.json"
"""File of the options that the run was started with."""
_REPLACES = "replaces"
"""Its field beside the options: the sha256 of the head.json that `force` allowed to replace."""
_EMBEDDING_OPTIONS = {
    "source",
    "backbone",
    "weights",
    "layer",
    "pool",
    "image_size",
    "fit",
    "pixels",
    "labels",
    "label",
}
"""What the embedded table depends on; where only other options change, the table is kept."""


def stored_options(out: Path) -> dict[str, Any]:
    """Return the options of the interrupted run or of the finished model at `out`; empty where there is neither."""
    options_path, head = _work_path(out) / _OPTIONS, out / "head.json"
    if options_path.exists():
        return core.read_json(options_path, hint=f"Remove {options_path.parent}")
    if not head.exists():
        return {}
    options: dict[str, Any] = core.read_json(head, hint="Use another `out`.").get("finetuned", {}).get("asked", {})
    return options


def may_replace(out: Path, before: Mapping[str, Any]) -> bool:
    """Return whether the interrupted run was started with `force` for the very model that is at `out` now."""
    return before.get(_REPLACES) is not None and before[_REPLACES] == hash_head(out)


def hash_head(folder: Path) -> str | None:
    """Return the sha256 of a model's head.json; None where there is none."""
    head = folder / "head.json"
    return core.hash_file(head) if head.exists() else None


def _work_path(out: Path) -> Path:
    return out.parent / f".{out.name}.finetune"


@contextlib.contextmanager
def work_folder(out: Path, options: Mapping[str, Any], *, replaces: str | None, restart: bool) -> Iterator[Path]:
    """Yield the locked work folder beside `out`; it is removed on success and stays after any other end.

    Args:
        out: Folder of the model.
        options: As they are stored.
        replaces: Hash of the model that may be replaced; stored, so that a run which resumes may replace it, too.
        restart: Whether to discard the epochs and checkpoints of an interrupted run; embeddings stay where they would
            be the same.

    Raises:
        InputError: The interrupted run was started with other options.
    """
    work = _work_path(out)
    with core.translate_io_errors(out):
        work.mkdir(parents=True, exist_ok=True)
    with core.lock(work):
        _check_same_options(work, options, restart=restart)
        core.write_json(work / _OPTIONS, {**options, _REPLACES: replaces})
        yield work
        shutil.rmtree(work)


def _check_same_options(work: Path, options: Mapping[str, Any], *, restart: bool) -> None:
    """Refuse other options once there is a checkpoint; before that, discard what they change."""
    from frieze.classifiers import CHECKPOINT

    path = work / _OPTIONS
    before = core.read_json(path, hint=f"Remove {work}") if path.exists() else options
    changed = sorted(name for name in options if options[name] != before.get(name))
    if changed and (work / CHECKPOINT).exists() and not restart:
        values = ", ".join(f"{name} {before.get(name)} then, {options[name]} now" for name in changed)
        raise core.InputError(
            f"Another fine-tuning is half done here: {values}.",
            hint="Give the same options to resume it, `force=True` to start again, or another `out`.",
        )
    if changed or restart:
        _discard(work, keep=set() if _EMBEDDING_OPTIONS & {*changed} else {"features"})


def discard_if_changed(work: Path, table: Features, *, head: Path | None) -> None:
    """Discard an interrupted run whose images, labels or head have changed: it goes by row numbers of the table."""
    path = work / "table.json"
    state = {
        "generation": table.manifest.generation,
        "labels": hashlib.sha256(json.dumps(table.labels.tolist()).encode()).hexdigest(),
        "head": None if head is None else hash_head(head),
    }
    if path.exists() and core.read_json(path, hint=f"Remove {work}") != state:
        _LOG.warning("The images, their labels or the head have changed since this run began: it starts again.")
        _discard(work, keep={"features", _OPTIONS})
    core.write_json(path, state)


def _discard(work: Path, *, keep: set[str]) -> None:
    for path in work.iterdir():
        if path.name not in {".lock", *keep}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
