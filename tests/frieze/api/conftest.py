"""Files with groups of copies, without an index."""

import hashlib
from types import SimpleNamespace

import pyarrow as pa
import pytest

from frieze.api.moving import LOG_NAME, move_copies


class CopyFolder:
    """A folder of files with groups of copies, in place of an index and the document of its duplicates.

    Attributes:
        folder: The files.
        index: What the functions need of an index.
        document: The groups.
    """

    def __init__(self, folder):
        self.folder, self.rows = folder, []
        self.document = {"index": "photos.index", "groups": []}
        self.index = SimpleNamespace(
            path=folder.with_name("photos.index"),
            document={"features": {"path": str(folder.with_name("no.features"))}},
            metadata=lambda ids: pa.Table.from_pylist([row for name in ids for row in self.rows if row["id"] == name]),
        )

    def add(self, name, data=b"picture", **columns):
        """Write a file, and store its row."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        facts = {"uri": str(path), "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        self.rows.append({"id": name} | facts | columns)
        return path

    def group(self, keep, *copies):
        """Make a group of stored rows."""
        uris = {row["id"]: row["uri"] for row in self.rows}
        members = [
            {"id": name, "uri": uris[name], "kind": "same bytes", "score": 1.0, "overlap": 1.0} for name in copies
        ]
        ids = [keep, *copies]
        self.document["groups"].append({"ids": ids, "uris": [uris[i] for i in ids], "keep": keep, "members": members})

    def move(self, folder):
        """Move all copies into a folder, without a question."""
        return move_copies(self.index, self.document, folder, yes=True)

    def files(self):
        """Return the names of all files, relative to the folder above, with their bytes; but for the log."""
        top = self.folder.parent
        paths = (path for path in top.rglob("*") if path.is_file() and path.name != LOG_NAME)
        return {str(path.relative_to(top)): path.read_bytes() for path in paths}


@pytest.fixture
def copies(tmp_path):
    """One group: `keep.png`, and copies of it in two folders."""
    folder = CopyFolder(tmp_path / "photos")
    for name in ("keep.png", "a/copy.png", "b/copy.png"):
        folder.add(name)
    folder.group("keep.png", "a/copy.png", "b/copy.png")
    return folder
