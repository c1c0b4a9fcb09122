"""Files with groups of copies, without an index; a small network, and heads of all kinds on it."""

import hashlib
from types import SimpleNamespace

import pyarrow as pa
import pytest

import frieze
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


@pytest.fixture(scope="session")
def small_network(tmp_path_factory, tf):
    """A small `.keras` file with most that networks are made of, 24 x 48 pixels."""
    import keras

    keras.utils.set_random_seed(3)
    layers, images = keras.layers, keras.Input((24, 48, 3))
    maps = layers.Conv2D(8, 3, strides=2)(layers.Rescaling(1 / 127.5, -1)(images))
    maps = layers.Activation("relu6")(layers.BatchNormalization()(maps))
    maps = layers.Activation("silu")(layers.DepthwiseConv2D(3, padding="same")(maps)) + maps
    maps = layers.Conv2D(12, 3, activation="hard_silu")(layers.ZeroPadding2D(1)(layers.MaxPooling2D()(maps)))
    path = tmp_path_factory.mktemp("small") / "small.keras"
    keras.Model(images, layers.GlobalAveragePooling2D()(maps)).save(path)
    return path


@pytest.fixture(scope="session")
def small_head(photos, small_network):
    """`small_head(kind)`: a head of a kind of `HEADS` on the photos by that network, made once."""
    folder = small_network.parent

    def make(kind):
        if not (folder / f"{kind}.head").exists():
            frieze.embed(
                photos, out=folder / "small.features", backbone=str(small_network)
            )  # once: a rerun does nothing
            head, _, kernel = kind.partition("-")
            frieze.train(folder / "small.features", out=folder / f"{kind}.head", head=head, kernel=kernel or "linear")
        return folder / f"{kind}.head"

    return make


@pytest.fixture(scope="session")
def small_model(small_head):
    """`small_model(kind)`: that head as a SavedModel, exported once."""

    def make(kind):
        head = small_head(kind)
        if not head.with_suffix(".model").exists():
            frieze.export(head, out=head.with_suffix(".model"))
        return head.with_suffix(".model")

    return make
