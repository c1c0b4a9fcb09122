"""`frieze.verify`: checks of features, an index, a head or an exported model."""

from pathlib import Path
from typing import Any

from frieze.api import export_folder
from frieze.api.folder_kinds import FILES, check_has_kind, folder_kind
from frieze.core import FeatureFileError, InputError, TablePath, find_altered_files, has_checksums, read_consistent
from frieze.features import check_can_embed, open_features, verify_features


def verify(path: TablePath, *, sample: int) -> dict[str, Any]:
    """Verify a folder of features, an index, a head or an exported model.

    Args:
        path: The folder.
        sample: For features: how many images to embed again.

    Returns:
        `kind`, `ok`, `problems`, and counts.

    Raises:
        InputError: It is none of these, or too broken to be checked.
    """
    check_has_kind(path)
    kind = str(folder_kind(path))
    if kind == "features":
        document = _verify_features(path, sample)
    elif isinstance(path, Path):
        # A folder that is replaced meanwhile is read again; a table is read as of when it was opened.
        document = read_consistent(path / FILES[kind], lambda: _CHECKS[kind](path))
    else:
        raise InputError(f"{path} is in a bucket, where only tables can be.", hint="Copy it to a disk.")
    return {"path": str(path), "kind": kind, "ok": not document["problems"]} | document


def _verify_features(path: TablePath, sample: int) -> dict[str, Any]:
    document = verify_features(path)
    if sample and not document["problems"]:
        from frieze.embedder import spot_check

        table = open_features(path)
        check_can_embed(table.spec, where=str(path), hint="Leave `sample` out.")
        checked = spot_check(table, n=sample)
        document |= checked
        if checked["drifted"]:
            message = f"{len(checked['drifted'])} of {checked['sampled']} images have another vector now"
            hint = "Other versions of the libraries, or another backbone? Remake the table with --force."
            document["problems"].append(
                _problem("drift", path, f"{message} (least cosine {checked['least_cosine']:.4f})", hint)
            )
    return document


def _verify_index(path: Path) -> dict[str, Any]:
    from frieze.indexing import open_index

    try:
        opened = open_index(path)
        opened.check_hashes()
    except FeatureFileError as error:
        return {"problems": [_problem("files", path, error.message, error.hint)]}
    return {"problems": [], "rows": len(opened), "stale": opened.staleness()}


def _verify_head(path: Path) -> dict[str, Any]:
    import frieze.classifiers

    try:
        opened = frieze.classifiers.open_any_head(path)
        frieze.classifiers.read_split(path)
    except FeatureFileError as error:
        return {"problems": [_problem("files", path, error.message, error.hint)]}
    files = _verify_listed(path, opened.document, hint="Train the head again: frieze train ... --force")
    return files | {"classes": opened.classes.tolist(), "stale": opened.staleness()}


def _verify_export(path: Path) -> dict[str, Any]:
    try:
        document = export_folder.read_document(path)
    except FeatureFileError as error:
        return {"problems": [_problem("files", path, error.message, error.hint)]}
    return _verify_listed(path, document, hint=export_folder.EXPORT_HINT)


def _verify_listed(path: Path, document: dict[str, Any], *, hint: str) -> dict[str, Any]:
    """Hash every file that a folder's JSON file lists; add a note where it lists none."""
    if not has_checksums(document):
        note = "An earlier version wrote this folder and listed no hashes of its files: not all could be checked."
        return {"problems": [], "files": 0, "notes": [note]}
    problems = [_problem("files", path, message, hint) for message in find_altered_files(path, document)]
    return {"problems": problems, "files": len(document["files"]), "notes": []}


def _problem(check: str, where: TablePath, message: str, hint: str) -> dict[str, str]:
    return {"check": check, "where": str(where), "message": message, "mend": hint}


_CHECKS = {"index": _verify_index, "head": _verify_head, "export": _verify_export}
