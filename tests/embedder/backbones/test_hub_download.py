import gc
import http.server
import io
import os
import shutil
import tarfile
import threading
import urllib.parse

import numpy as np
import pytest

from frieze.core import ModelError
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones import fingerprint_of_files, hub_cache

MODULE = "/tiny/feature_vector/1"


def refusal(handle):
    """Open what can't be opened, and return the error."""
    with pytest.raises(ModelError) as caught:
        open_backbone(BackboneRequest(handle=handle))
    return caught.value


def files_below(folder):
    """List the files that a cache holds, by name."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A user's cache of its own: a test neither reads nor fills a real one."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", "undone after the test")
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache" / "frieze" / "hub"


@pytest.fixture(scope="module")
def packed(tiny):
    """The tiny module as tfhub.dev packs it: a .tar.gz of the folder's content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.add(tiny, arcname=".")
    return out.getvalue()


@pytest.fixture
def served(packed):
    """A server on loopback that has one module; with its URL, the requests it received, and the bytes it sends."""
    requested, content = [], {MODULE: packed}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            requested.append(self.path)
            url = urllib.parse.urlsplit(self.path)
            is_there = url.path in content and url.query == "tf-hub-format=compressed"
            self.send_response(200 if is_there else 404)
            self.send_header("Content-Length", str(len(packed)))  # also where less is sent: a connection that breaks
            self.end_headers()
            self.wfile.write(content[url.path] if is_there else b"")

        def log_message(self, *_):
            """Keep stderr quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requested, content
        server.shutdown()
        thread.join()


def test_fetched_once(served, cache):
    """A URL's module is downloaded packed, once, into the user's own cache; later it opens without the server."""
    url, requested, _ = served
    for _ in range(2):
        assert open_backbone(BackboneRequest(handle=url + MODULE)).spec.dim == 16
    assert requested == [f"{MODULE}?tf-hub-format=compressed"]
    assert "saved_model.pb" in files_below(cache)


def test_same_network_as_the_folder(served, tiny, module):
    """It has the fingerprint, size and vectors of the folder that was packed; its name is the URL's path."""
    backbone = open_backbone(BackboneRequest(handle=served[0] + MODULE))
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    assert backbone.spec.fingerprint == fingerprint_of_files(BackboneRequest(handle=str(tiny)))
    assert (backbone.spec.name, backbone.spec.image_size) == ("tiny/feature_vector/1", (32, 32))
    assert np.allclose(backbone.call(images), module(images), atol=1e-6)


def test_cache_dir(served, cache, tmp_path, monkeypatch):
    """TFHUB_CACHE_DIR says where modules go, as everywhere."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "elsewhere"))
    open_backbone(BackboneRequest(handle=served[0] + MODULE))
    assert "saved_model.pb" in files_below(tmp_path / "elsewhere")
    assert not cache.exists()


def test_default_cache(tmp_path, monkeypatch):
    """Without any setting the cache lies in the user's home, not in the temporary folder."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hub_cache.cache_dir() == tmp_path / ".cache" / "frieze" / "hub"


@pytest.mark.parametrize("keep_folders", [True, False])
def test_emptied_cache(keep_folders, served, cache):
    """A module whose files a cleaner took is downloaded again, also where its folders are left."""
    url, requested, _ = served
    open_backbone(BackboneRequest(handle=url + MODULE))
    for path in [*cache.rglob("*")] if keep_folders else []:
        if path.is_file():
            path.unlink()
    if not keep_folders:
        shutil.rmtree(cache)
    assert open_backbone(BackboneRequest(handle=url + MODULE)).spec.dim == 16
    assert len(requested) == 2


def test_unknown_module(served):
    """A handle that the server does not have is rejected, with the way to download it by hand."""
    handle = served[0] + "/nobody/nothing/1"
    error = refusal(handle)
    assert error.message.startswith(f"{handle} can't be downloaded: HTTP Error 404")
    assert f"curl -L '{handle}?tf-hub-format=compressed' | tar xz -C FOLDER" in error.hint


def test_no_connection(served):
    """A server that does not answer is an error with the same hint."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), None) as server:
        handle = f"http://127.0.0.1:{server.server_port}{MODULE}"
    error = refusal(handle)
    assert "Connection refused" in error.message
    assert "curl -L" in error.hint


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # tensorflow-hub leaves it open
def test_broken_connection(served, packed):
    """A download that breaks off is an error, and leaves nothing behind that the next run would take for a module."""
    url, requested, content = served
    content[MODULE] = packed[: len(packed) // 2]
    assert "can't be downloaded" in refusal(url + MODULE).message
    gc.collect()  # so that the warning comes here and not in another test
    content[MODULE] = packed
    assert open_backbone(BackboneRequest(handle=url + MODULE)).spec.dim == 16
    assert len(requested) == 2


def test_progress_goes_to_stderr(served, capsys):
    """Fetching says nothing on stdout, where results go."""
    os.environ["TFHUB_DOWNLOAD_PROGRESS"] = "1"
    open_backbone(BackboneRequest(handle=served[0] + MODULE))
    del os.environ["TFHUB_DOWNLOAD_PROGRESS"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "Downloading" in err


def test_file_systems_of_tensorflow(tiny, tf, cache, module):
    """A handle of a file system such as gs:// is copied whole, once, into the cache."""
    handle = "ram://bucket/tiny"
    for path in filter(os.path.isfile, map(str, tiny.rglob("*"))):
        to = f"{handle}/{os.path.relpath(path, tiny)}"
        tf.io.gfile.makedirs(os.path.dirname(to))  # noqa: PTH120  a URL
        tf.io.gfile.copy(path, to, overwrite=True)
    first = open_backbone(BackboneRequest(handle=handle)).spec
    assert first.fingerprint == fingerprint_of_files(BackboneRequest(handle=str(tiny)))
    assert files_below(cache) == files_below(tiny)
    tf.io.gfile.rmtree("ram://bucket")
    assert open_backbone(BackboneRequest(handle=handle)).spec == first


@pytest.mark.parametrize("handle", ["ram://bucket/nowhere", "nosuch://bucket/tiny"])
def test_file_system_refuses(handle, cache):
    """A handle that does not exist, or of an unknown kind, is rejected, and the cache stays clean."""
    assert handle in refusal(handle).message
    assert files_below(cache) == []
