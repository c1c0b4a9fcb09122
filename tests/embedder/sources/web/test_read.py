import csv
import pickle
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import ImageError, InputError
from frieze.embedder import BackboneRequest, JobOptions, SourceOptions, embed_source, open_source, read_image
from frieze.embedder.job.decoder import Batch
from frieze.embedder.job.pipeline import stream
from frieze.embedder.sources.web import fetch, read
from frieze.embedder.sources.web.fetch import FetchOptions
from frieze.embedder.sources.web.read import WebReader
from frieze.features import open_features, read_failures


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    """Waits of a fraction of a second."""
    monkeypatch.setattr(fetch, "TOTAL_S", 2.0)
    monkeypatch.setattr(fetch, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def manifest(server, tmp_path):
    """Write a manifest of URLs, with a label and a number each."""

    def write(paths, name="urls.csv"):
        with (tmp_path / name).open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["url", "label", "number"])
            rows.writerows([path if "://" in path else server.url + path, "cat", n] for n, path in enumerate(paths))
        return tmp_path / name

    return write


def embed(source, out, backbone, **options):
    """Embed a source from loopback."""
    of_source = {name: options.pop(name) for name in ("keep", "allow_private") if name in options}
    job = JobOptions(source=SourceOptions(**({"allow_private": True} | of_source)), **options)
    return embed_source(source, out, request=BackboneRequest(handle=str(backbone)), options=job)


def test_listing_fetches_nothing(server, manifest):
    """Listing a manifest asks no server; ids and URIs are the URLs as written."""
    images = open_source(manifest(["/good.png", "/gone"]), SourceOptions()).listing.images
    assert images.select(["id", "uri", "label", "size_bytes"]).to_pylist() == [
        {"id": f"{server.url}{path}", "uri": f"{server.url}{path}", "label": "cat", "size_bytes": None}
        for path in ("/good.png", "/gone")
    ]
    assert server.requests == []


def test_list_of_urls(server, tmp_path):
    """In a list the label is the last folder of the URL's path; the host is none."""
    (tmp_path / "urls.txt").write_text(f"{server.url}/good.png\n{server.url}/good/cat/1.png\n")
    opened = open_source(tmp_path / "urls.txt", SourceOptions(allow_private=True))
    assert opened.listing.images["label"].to_pylist() == [None, "cat"]
    assert list(opened.read(np.arange(2))) == [server.image] * 2


def test_embed(server, manifest, tiny, tmp_path):
    """Good images are rows, others failures with reasons; a second run asks for nothing, or for the failures alone."""
    paths = ["/good/1.png", "/gone", "/html", "/good/2.png?a=b", "http://169.254.0.1/x.png"]
    document = embed(manifest(paths), tmp_path / "out", tiny)
    assert (document["rows"], document["duplicates"]) == (2, 1)
    reasons = {row["id"].replace(server.url, ""): row["reason"] for row in read_failures(tmp_path / "out").to_pylist()}
    assert reasons.keys() == {"/gone", "/html", "http://169.254.0.1/x.png"}
    assert (reasons["/gone"], reasons["/html"]) == ("http 404", "not an image")
    n_requests = len(server.requests)
    rerun = embed(manifest(paths), tmp_path / "out", tiny)
    assert (rerun["embedded"], rerun["unchanged"], rerun["failed"]) == (0, 2, 3)
    assert len(server.requests) == n_requests
    embed(manifest(paths[:4]), tmp_path / "out", tiny, retry_failures=True)
    assert sorted(server.requests[n_requests:]) == ["/gone", "/html"]


def test_private_by_default(server, manifest, tiny, tmp_path):
    """Addresses that are not public are failures unless they are allowed."""
    document = embed(manifest(["/good.png"]), tmp_path / "out", tiny, allow_private=False)
    assert (document["rows"], document["failures"]) == (0, {"private address": 1})
    assert server.requests == []


def test_removed_and_new(server, manifest, tiny, tmp_path):
    """Where images left the list, new ones are not fetched twice to find out whether they are the same."""
    embed(manifest(["/good/1.png", "/good/2.png"]), tmp_path / "out", tiny)
    document = embed(manifest(["/good/2.png", "/good/3.png"]), tmp_path / "out", tiny)
    assert (document["removed"], document["rows"]) == (1, 2)
    assert server.requests.count("/good/3.png") == 1


def test_beside_files(server, manifest, tmp_path):
    """Rows of a manifest may be files and URLs, each read in its place."""
    (tmp_path / "a.jpg").write_bytes(server.image)
    source = manifest(["file://" + str(tmp_path / "a.jpg"), "/good.png"])
    opened = open_source(source, SourceOptions(allow_private=True))
    assert list(opened.read(np.arange(2))) == [server.image] * 2


def test_keep(server, manifest, tiny, tmp_path):
    """What is kept is not fetched for the next table."""
    source = manifest(["/good/1.png", "/good/2.png"])
    embed(source, tmp_path / "one", tiny, keep=str(tmp_path / "kept"))
    n_requests = len(server.requests)
    embed(source, tmp_path / "two", tiny, keep=str(tmp_path / "kept"))
    assert len(server.requests) == n_requests
    assert open_features(tmp_path / "one").ids.tolist() == open_features(tmp_path / "two").ids.tolist()


def test_keep_is_checked_first(server, manifest, tmp_path):
    """A folder that can't be used is refused before anything is fetched."""
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(InputError, match="kept"):
        open_source(manifest(["/good.png"]), SourceOptions(keep=str(tmp_path / "kept")))


def test_one_slow_image(server, manifest, tmp_path):
    """While one image does not come, those far behind it are fetched already."""
    expected = {"/silent", *(f"/good/{n}" for n in range(100))}
    source = _Reads(open_source(manifest(sorted(expected, reverse=True)), SourceOptions(allow_private=True)))
    decoding = threading.Thread(target=lambda: list(stream([np.arange(101)], source, batch_size=4, workers=1)))
    decoding.start()
    while decoding.is_alive() and set(server.requests) != expected:
        decoding.join(0.01)
    assert decoding.is_alive()
    source.stop()
    decoding.join()


class _Reads:
    """A decoder that reads, and decodes nothing."""

    def __init__(self, source):
        self.source = source
        self.stop = source.cancel

    def batch(self, requested, contents):
        """Read a batch."""
        return list(contents) and Batch(requested)


def test_large_images_are_not_piled_up(server):
    """Fewer images are requested ahead where they are large."""
    reader = WebReader(pa.array([f"{server.url}/good"]), FetchOptions(allow_private=True))
    assert reader.read_ahead() == read.READ_AHEAD
    reader._web._n_bytes += 64 << 20
    assert reader.read_ahead() < 16


def test_connections(server):
    """A host with most of the images gets more connections than one among others, and never more than its share."""
    urls = pa.array([f"{server.url}/good/{n}" for n in range(40)])
    for others, most in ((["http://other/a"] * 40, 16), (["http://other/a"] * 41, 4)):
        reader = WebReader(pa.concat_arrays([urls, pa.array(others, pa.string())]), FetchOptions(allow_private=True))
        server.most_active = 0
        assert set(reader(np.arange(40))) == {server.image}
        assert server.most_active <= most


def test_cancel(server):
    """An image that does not come ends at once when nobody waits for it."""
    reader = WebReader(pa.array([f"{server.url}/silent"]), FetchOptions(allow_private=True))
    contents = reader(np.arange(1))
    reader.cancel()
    assert isinstance(next(contents), ImageError)


def test_pickles(server):
    """Another process reads the same images."""
    reader = WebReader(pa.array([f"{server.url}/good"]), FetchOptions(allow_private=True))
    assert list(reader(np.arange(1))) == list(pickle.loads(pickle.dumps(reader))(np.arange(1)))  # noqa: S301


def test_read_image(server):
    """One stored image is fetched by its URI, from public addresses only."""
    with pytest.raises(ImageError, match="no public address"):
        read_image(f"{server.url}/good")


@pytest.mark.parametrize("source", ["https://host/a.jpg", "http://host/list.csv"])
def test_url_as_source(source):
    """A URL as the source says how to write a list."""
    with pytest.raises(InputError, match="list or manifest of URLs"):
        open_source(source, SourceOptions())


def test_urls_in_rows_of_bytes(server, tmp_path, monkeypatch):
    """URLs in a Parquet or Arrow file of bytes are kept, and a host that is dead is given up after some tries."""
    monkeypatch.setattr("frieze.embedder.sources.web.fetch_pool._SILENCE_TO_GIVE_UP_S", 0.0)
    monkeypatch.setattr("frieze.embedder.sources.web.fetch.ATTEMPTS", 1)
    urls = [f"{server.url}/good/1.png", *(f"http://127.0.0.1:1/{n}" for n in range(12))]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    rows = pa.table({"image": pa.array([{"bytes": None, "path": url} for url in urls], kind)})
    pq.write_table(rows, tmp_path / "a.parquet")
    with pa.ipc.new_stream(tmp_path / "a.arrow", rows.schema) as stream:
        stream.write_table(rows)
    for name in ("a.parquet", "a.arrow"):
        options = SourceOptions(allow_private=True, keep=str(tmp_path / "kept"))
        first, *others = open_source(tmp_path / name, options).read(np.arange(13))
        assert first == server.image
        assert {one.reason for one in others} == {"refused"}
        assert sum("not asked any more" in one.message for one in others) == 4
    assert server.requests == ["/good/1.png"]
