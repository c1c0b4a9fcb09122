"""features.json, the manifest: the live parts, what made them, and the generation of their content."""

import dataclasses
import hashlib
import os
import types
import typing
from pathlib import Path
from typing import Any, Self

from frieze.core import FeatureFileError, Status, TablePath, hash_file, read_json, write_json
from frieze.features.schema import CONTRACT
from frieze.features.spec import BackboneSpec

NAME = "features.json"
PARTS = "parts"


@dataclasses.dataclass(frozen=True)
class Part:
    """One live part: file name, rows, size, time and hash.

    Attributes:
        name: File name below `parts/`.
        rows: Rows in it, >= 1.
        size_bytes: Size of the file.
        mtime_ns: Modification time, nanoseconds since 1970.
        sha256: Of the file's bytes, hex.
    """

    name: str
    rows: int
    size_bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: TablePath, rows: int) -> Self:
        """Describe a part on disk."""
        status = path.stat()
        return cls(path.name, rows, status.st_size, status.st_mtime_ns, hash_file(path))

    @property
    def number(self) -> int:
        """The number in its name."""
        return int(Path(self.name).stem.removeprefix("part-"))

    def matches_file(self, path: TablePath) -> bool:
        """Return whether a file has the described size and time."""
        return self.matches_stat(path.stat())

    def matches_stat(self, status: os.stat_result | Status) -> bool:
        """Return whether a stat result has the described size and time."""
        return (status.st_size, status.st_mtime_ns) == (self.size_bytes, self.mtime_ns)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of features.json.

    Attributes:
        spec: The backbone behind every row.
        source: What was embedded, as an absolute path or URL.
        request: The options of the run; a later run with the same ones need not load the backbone.
        engine: The engine that ran the backbone.
        perceptual_hash: How the columns `HASHES` are computed; None where the table has none, as older ones.
        statistics: How the columns `STATISTICS` are computed; None where the table has none.
        tuning: The engine's settings and the alternatives tried, for the next run; empty where nothing was tried.
        versions: Library name -> version.
        n_failed: Rows of failures.parquet.
        n_ignored: Files of the source that are not images.
        parts: The live parts, in the order of their numbers.
    """

    spec: BackboneSpec
    source: str
    request: dict[str, Any] = dataclasses.field(default_factory=dict)
    engine: str = "none"
    perceptual_hash: str | None = None
    statistics: str | None = None
    tuning: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    n_failed: int = 0
    n_ignored: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def n_rows(self) -> int:
        """Count the stored images."""
        return sum(part.rows for part in self.parts)

    @property
    def has_perceptual_hashes(self) -> bool:
        """Whether all parts have the columns `HASHES`."""
        return self.perceptual_hash is not None

    @property
    def has_statistics(self) -> bool:
        """Whether all parts have the columns `STATISTICS`."""
        return self.statistics is not None

    @property
    def maker(self) -> str:
        """The command that made the table and updates it."""
        return "frieze import" if self.spec.is_made_elsewhere else "frieze embed"

    @property
    def generation(self) -> str:
        """A hash of the content, 16 hex digits: it changes whenever a row is added, changed or removed."""
        content = hashlib.sha256(self.spec.fingerprint.encode())
        for part in self.parts:
            content.update(f"{part.name}:{part.sha256}\n".encode())
        return content.hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the document of features.json."""
        return {
            "contract": CONTRACT,
            "kind": "features",
            "generation": self.generation,
            "backbone": self.spec.to_json(),
            "source": self.source,
            "request": self.request,
            "engine": self.engine,
            **({} if self.perceptual_hash is None else {"perceptual_hash": self.perceptual_hash}),
            **({} if self.statistics is None else {"statistics": self.statistics}),
            **({"tuning": self.tuning} if self.tuning else {}),
            "precision": self.spec.precision,
            "versions": self.versions,
            "counts": {"rows": self.n_rows, "failed": self.n_failed, "ignored": self.n_ignored},
            "parts": [dataclasses.asdict(part) for part in self.parts],
        }

    def write(self, folder: TablePath) -> None:
        """Replace the folder's features.json."""
        write_json(folder / NAME, self.to_json())


def is_features(folder: TablePath) -> bool:
    """Return whether a folder holds a table of features.

    Folders of TensorFlow Datasets hold a `features.json`, too, beside their own `dataset_info.json`.
    """
    return (folder / NAME).is_file() and not (folder / "dataset_info.json").is_file()


def _hint(folder: TablePath) -> str:
    anew = " --force" if is_features(folder) else ""
    if not anew and folder.is_dir() and any(one.name != "parts" for one in folder.iterdir()):
        return "Give the folder of a table, or make one with: frieze embed SOURCE --out FEATURES"
    return f"Make the table with: frieze embed SOURCE --out {folder}{anew}"


def read_manifest(folder: TablePath) -> Manifest:
    """Read a folder's features.json.

    Raises:
        FeatureFileError: It is missing, broken, or of a contract that this version does not know.
    """
    document = read_json(folder / NAME, hint=_hint(folder))
    try:
        _check_contract(document, folder)
        manifest = Manifest(
            spec=BackboneSpec.from_json(document["backbone"]),
            source=document["source"],
            request=document["request"],
            engine=document["engine"],
            perceptual_hash=document.get("perceptual_hash"),  # newer than the contract, as the next
            statistics=document.get("statistics"),
            tuning=document.get("tuning", {}),
            versions=document["versions"],
            n_failed=document["counts"]["failed"],
            n_ignored=document["counts"]["ignored"],
            parts=tuple(Part(**part) for part in document["parts"]),
        )
        for read in (manifest, manifest.spec, *manifest.parts):
            _check_types(read)
    except (AttributeError, KeyError, TypeError) as error:
        raise FeatureFileError(
            f"{folder / NAME} lacks what a table of features has ({error}).",
            hint="Put back the features.json that belongs there.",
        ) from error
    return manifest


def _check_types(read: Any) -> None:
    """Check the types of a dataclass that was read from JSON."""
    for field in dataclasses.fields(read):
        kind: Any = field.type
        kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
        if not isinstance(getattr(read, field.name), tuple(typing.get_origin(one) or one for one in kinds)):
            raise TypeError(f"{field.name} is {getattr(read, field.name)!r}")


def _check_contract(document: dict[str, Any], folder: TablePath) -> None:
    if document["kind"] != "features" or document["contract"] > CONTRACT:
        raise FeatureFileError(
            f"{folder / NAME} is of kind {document['kind']}, contract {document['contract']};"
            f" this version reads features up to contract {CONTRACT}.",
            hint="Upgrade with: pip install --upgrade frieze",
        )
