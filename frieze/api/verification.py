"""Checking again what was promised about a folder: features, an index, a head or an exported model."""

from pathlib import Path
from typing import Any

from frieze.api import export_folder as exported
from frieze.api.folder_kinds import FILES, check_is_ours, kind_of
from frieze.core import FeatureFileError, InputError, TablePath, find_altered_files, has_checksums, read_consistent
from frieze.features import check_can_embed, open_features, verify_features


def verify(path: TablePath, *, sample: int) -> dict[str, Any]:
    """Check a folder of ours.

    Args:
        path: The folder.
        sample: For features: how many images to embed again.

    Returns:
        `kind`, `ok`, `problems`, and what was counted.

    Raises:
        InputError: It is none of ours, or so broken that nothing can be checked.
    """
    check_is_ours(path)
    kind = str(kind_of(path))
    if kind == "features":
        document = _features(path, sample)
    elif isinstance(path, Path):
        document = read_consistent(path / FILES[kind], lambda: _CHECKS[kind](path))
    else:
        raise InputError(f"{path} is in a bucket, where only tables can be.", hint="Copy it to a disk.")
    return {"path": str(path), "kind": kind, "ok": not document["problems"]} | document


def _features(path: TablePath, sample: int) -> dict[str, Any]:
    document = verify_features(path)
    if sample and not document["problems"]:
        from frieze.embedder import embed_again

        table = open_features(path)
        check_can_embed(table.spec, where=str(path), hint="Leave --sample out.")
        again = embed_again(table, n=sample)
        document |= again
        if again["drifted"]:
            message = f"{len(again['drifted'])} of {again['sampled']} images have another vector now"
            hint = "Other versions of the libraries, or another backbone? Make the table anew with --force."
            document["problems"].append(
                _problem("drift", path, f"{message} (least cosine {again['least_cosine']:.4f})", hint)
            )
    return document


def _index(path: Path) -> dict[str, Any]:
    from frieze.indexing import open_index

    try:
        opened = open_index(path)
        opened.check_hashes()
    except FeatureFileError as error:
        return {"problems": [_problem("files", path, error.message, error.hint)]}
    return {"problems": [], "rows": len(opened), "stale": opened.staleness()}


def _head(path: Path) -> dict[str, Any]:
    import frieze.classifiers

    try:
        opened = frieze.classifiers.open_head(path)
        frieze.classifiers.read_split(path)
    except FeatureFileError as error:
        return {"problems": [_problem("files", path, error.message, error.hint)]}
    listed = _listed(path, opened.document, hint="Train the head again: frieze train ... --force")
    return listed | {"classes": opened.classes.tolist(), "stale": opened.staleness()}


def _export(path: Path) -> dict[str, Any]:
    try:
        document = exported.read_document(path)
    except FeatureFileError as error:
        return {"problems": [_problem("files", path, error.message, error.hint)]}
    return _listed(path, document, hint=exported.MEND)


def _listed(path: Path, document: dict[str, Any], *, hint: str) -> dict[str, Any]:
    """Hash every file that a folder's JSON file lists; say so where it lists none."""
    if not has_checksums(document):
        note = "An earlier version wrote this folder and listed no hashes of its files: not all could be checked."
        return {"problems": [], "files": 0, "notes": [note]}
    problems = [_problem("files", path, said, hint) for said in find_altered_files(path, document)]
    return {"problems": problems, "files": len(document["files"]), "notes": []}


def _problem(check: str, where: TablePath, message: str, hint: str) -> dict[str, str]:
    return {"check": check, "where": str(where), "message": message, "mend": hint}


_CHECKS = {"index": _index, "head": _head, "export": _export}
