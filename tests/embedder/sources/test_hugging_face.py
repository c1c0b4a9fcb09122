import http.server
import json
import threading
import urllib.parse
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError, to_table_path
from frieze.core.storage import bucket_path
from frieze.embedder import SourceOptions, open_source, read_image

pytest.importorskip("huggingface_hub")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
IMAGES = [b"\xff\xd8\xff" + bytes([n]) * 80 for n in range(4)]


class _Hub(http.server.BaseHTTPRequestHandler):
    """The few answers of the Hub's API that listing and reading a data set take."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Describe the data set, list a folder, or send a range of a file."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        name = "/me/pets"
        if path.startswith(f"/api/datasets{name}/tree/"):
            return self._json(self._tree(path.split(f"{name}/tree/")[1].partition("/")[2]))
        if path.startswith(f"/datasets{name}/resolve/"):
            return self._file(path.split(f"{name}/resolve/")[1].partition("/")[2])
        if path.startswith(f"/api/datasets{name}"):
            return self._json({"_id": "1", "id": name[1:], "sha": COMMIT, "private": False, "tags": [], "siblings": []})
        return self._json({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")

    def do_POST(self):
        """Describe some paths."""
        requested = self.rfile.read(int(self.headers["Content-Length"])).decode()
        paths = (
            json.loads(requested)["paths"] if requested.startswith("{") else urllib.parse.parse_qs(requested)["paths"]
        )
        self._json([one for one in self._tree("") if one["path"] in paths])

    do_HEAD = do_GET  # noqa: N815

    def _tree(self, folder):
        files = self.server.files
        folders = sorted({str(folder) for path in files for folder in PurePosixPath(path).parents} - {"."})
        tree = [{"type": "directory", "oid": "1" * 40, "size": 0, "path": path} for path in folders]
        tree += [{"type": "file", "oid": "2" * 40, "size": len(data), "path": path} for path, data in files.items()]
        return [one for one in tree if not folder or one["path"].startswith(f"{folder}/")]

    def _file(self, path):
        data, requested = self.server.files[path], self.headers.get("Range", "bytes=0-").removeprefix("bytes=")
        first, _, last = requested.partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        self._send(206, part, Content_Range=f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}", ETag='"1"')

    def _json(self, document, status=200, **headers):
        self._send(status, json.dumps(document).encode(), Content_Type="application/json", **headers)

    def _send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), "X_Repo_Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_args):
        """Print nothing."""


@pytest.fixture
def hub(monkeypatch):
    """A hub on loopback with a data set `me/pets`; its files are a dict."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        server.files = {}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("HF_TOKEN", "of-nobody")  # else it is looked for below the user's cache
        bucket_path.file_system.cache_clear()
        yield server
        bucket_path.file_system.cache_clear()
        server.shutdown()
        thread.join()


def to_parquet(images):
    """Write images as `datasets` pushes them."""
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    rows = pa.table({"image": [{"bytes": one, "path": None} for one in images], "label": [0, 1] * (len(images) // 2)})
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), sink)
    return sink.getvalue().to_pybytes()


def test_parquet(hub):
    """A data set of Parquet files is read where it is, with the names of its classes."""
    hub.files |= {"README.md": b"# Pets", "data/train-00000-of-00001.parquet": to_parquet(IMAGES)}
    source = open_source("hf://datasets/me/pets", SourceOptions())
    assert source.listing.images["id"].to_pylist()[0] == "data/train-00000-of-00001.parquet/0"
    assert source.listing.images["label"].to_pylist() == ["cat", "dog"] * 2
    assert list(source.read(np.arange(4))) == IMAGES


def test_images(hub):
    """A data set of image files is a folder of images."""
    hub.files |= {f"train/{label}/{n}.jpg": IMAGES[n] for n, label in enumerate(["cat", "dog", "cat", "dog"])}
    source = open_source("hf://datasets/me/pets/train", SourceOptions())
    assert source.listing.images["label"].to_pylist() == ["cat", "cat", "dog", "dog"]
    assert list(source.read(np.arange(4))) == [IMAGES[n] for n in (0, 2, 1, 3)]
    assert read_image("hf://datasets/me/pets/train/dog/3.jpg") == IMAGES[3]


def test_missing(hub):
    """A data set that does not exist says how one is written."""
    with pytest.raises(InputError, match="hf://datasets/USER/NAME"):
        open_source("hf://datasets/me/gone", SourceOptions())


def test_no_table_there():
    """A table can't be written to the Hub."""
    with pytest.raises(InputError, match="read only"):
        to_table_path("hf://datasets/me/features")
