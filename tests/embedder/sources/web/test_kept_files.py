import hashlib
import json
from unittest import mock

import numpy as np
import pytest

from frieze.core import ImageError, InputError
from frieze.embedder import SourceOptions, open_source
from frieze.embedder.sources.web.kept_files import LIST_NAME, KeptFiles

URL = "http://host/a.png"


def test_by_hash(server, tmp_path):
    """An image is kept once under its sha256, whatever its URLs, and read by another run."""
    kept = KeptFiles(str(tmp_path / "kept"))
    for url in (URL, URL + "?again"):
        kept.write(url, server.image)
    digest = hashlib.sha256(server.image).hexdigest()
    files = sorted(path.relative_to(tmp_path / "kept").as_posix() for path in tmp_path.rglob("*.*"))
    assert files == [f"{digest[:2]}/{digest}.png", LIST_NAME]
    reopened = KeptFiles(str(tmp_path / "kept"))
    assert [reopened.read(url) for url in (URL, URL + "?again", "http://host/b")] == [server.image, server.image, None]


def test_is_a_manifest(server, tmp_path):
    """The list of the folder is a manifest of its files, with their URLs."""
    KeptFiles(str(tmp_path)).write(URL, server.image)
    opened = open_source(tmp_path / LIST_NAME, SourceOptions(id="url"))
    assert opened.listing.images["id"].to_pylist() == [URL]
    assert list(opened.read(np.arange(1))) == [server.image]


@pytest.mark.parametrize(
    "torn", [b'{"file_name": "ab/', b'{"file_name": "../../etc/passwd", "url": "http://host/a.png"}\n']
)
def test_torn_list(server, tmp_path, torn):
    """A line that a kill has torn, or that leads out of the folder, is passed over, and the next one is whole."""
    (tmp_path / LIST_NAME).write_bytes(torn)
    kept = KeptFiles(str(tmp_path))
    assert kept.read(URL) is None
    kept.write(URL, server.image)
    assert KeptFiles(str(tmp_path)).read(URL) == server.image
    lines = (tmp_path / LIST_NAME).read_bytes().splitlines()
    assert all(json.loads(line) for line in lines)  # a manifest, too
    assert json.loads(lines[-1])["url"] == URL


def test_line_that_is_cut(server, tmp_path):
    """A line that is written in part is a failure of its image, and the next one is whole."""
    kept = KeptFiles(str(tmp_path))
    with mock.patch.object(kept, "_list", mock.Mock(write=lambda line: (tmp_path / "x").write_bytes(line[:-3]))):
        with pytest.raises(ImageError, match="No space left"):
            kept.write(URL, server.image)
        assert kept.read(URL) is None
    kept.write(URL, server.image)
    assert (tmp_path / LIST_NAME).read_bytes().startswith(b"\n{")


def test_changed_file(server, tmp_path):
    """A file that has other bytes than its name says is not used."""
    kept = KeptFiles(str(tmp_path))
    kept.write(URL, server.image)
    next(tmp_path.rglob("*.png")).write_bytes(b"other")
    assert kept.read(URL) is None


def test_full_disk(server, tmp_path):
    """Where an image can't be kept, that is its failure."""
    kept = KeptFiles(str(tmp_path))
    (tmp_path / hashlib.sha256(server.image).hexdigest()[:2]).write_text("in the way")
    with pytest.raises(ImageError) as failed:
        kept.write(URL, server.image)
    assert failed.value.reason == "not kept"


@pytest.mark.parametrize("folder", ["s3://bucket/kept", "{tmp_path}/file"])
def test_bad_folder(tmp_path, folder):
    """A bucket or a file is refused."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="keep"):
        KeptFiles(folder.format(tmp_path=tmp_path))
