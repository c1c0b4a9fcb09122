import csv
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError, check_bucket_url, open_file_system
from frieze.core.storage.bucket_path import file_system
from frieze.embedder import SourceOptions, open_source, read_image
from frieze.embedder.sources import files
from frieze.embedder.sources.bucket import _matches
from frieze.features import open_features, read_failures

NAMES = ["z.jpg", "a/1.jpg", "a/b/2.png", "a/10.jpg", "c/3.JPG"]


def rows(source, **options):
    """List a source, and return id, label and size of each image, and their bytes."""
    opened = open_source(source, SourceOptions(**options))
    images = opened.listing.images
    contents = list(opened.read(np.arange(len(images))))
    return images.select(["id", "label", "size_bytes"]).to_pylist(), contents


@pytest.fixture
def photos(write_photos, tmp_path):
    """A small folder of photographs, with a note."""
    folder = write_photos(tmp_path / "photos", NAMES)
    (folder / "a" / "note.txt").write_text("a note")
    return folder


def test_folder(photos, bucket):
    """A folder in a bucket lists and reads as the same folder on disk does."""
    bucket.put_folder(photos, "some/photos")
    assert rows(f"{bucket.url}/some/photos/") == rows(str(photos))
    opened = open_source(f"{bucket.url}/some/photos", SourceOptions())
    assert (opened.listing.source, opened.listing.n_ignored) == (f"{bucket.url}/some/photos", 1)
    assert opened.listing.images["uri"][0].as_py() == f"{bucket.url}/some/photos/a/1.jpg"
    assert rows(f"{bucket.url}/some/photos", labels="none")[0][0]["label"] is None


def test_labels(photos, bucket, tmp_path):
    """A file of labels may lie in a bucket."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "l.csv").write_text("id,label\nz.jpg,07\n")
    bucket.put_folder(tmp_path / "labels", "labels")
    labels = {row["id"]: row["label"] for row in rows(str(photos), labels=f"{bucket.url}/labels/l.csv")[0]}
    assert (labels["z.jpg"], labels["a/1.jpg"]) == ("07", None)


def test_one_image_and_patterns(photos, bucket):
    """One object is a source, and so is a pattern, whose wildcards stay between slashes."""
    bucket.put_folder(photos, "p")
    assert [row["id"] for row in rows(f"{bucket.url}/p/a/1.jpg")[0]] == ["1.jpg"]
    assert [row["id"] for row in rows(f"{bucket.url}/p/a/*.jpg")[0]] == ["1.jpg", "10.jpg"]
    assert [row["id"] for row in rows(f"{bucket.url}/p/*/?.jpg")[0]] == ["a/1.jpg"]
    assert _matches("s3://b/a/x.jpg", "s3://b/*/x.jpg")
    assert not _matches("s3://b/a/c/x.jpg", "s3://b/*/x.jpg")


def test_folders_named_like_patterns(photos, bucket):
    """A folder that is there is meant by its name, however that looks."""
    bucket.put_folder(photos, "p [1]")
    assert rows(f"{bucket.url}/p [1]") == rows(str(photos))
    assert [row["id"] for row in rows(f"{bucket.url}/p [1]/a/*.jpg")[0]] == ["1.jpg", "10.jpg"]
    with pytest.raises(InputError):
        rows(f"{bucket.url}/p [2]")


def test_vectors(photos, bucket, embed, tmp_path):
    """The same photographs have the same vectors; again, nothing is done and no object is read."""
    bucket.put_folder(photos, "p")
    embed(photos, tmp_path / "local")
    assert embed(f"{bucket.url}/p", tmp_path / "remote")["embedded"] == 5
    local, remote = open_features(tmp_path / "local"), open_features(tmp_path / "remote")
    assert remote.ids.tolist() == local.ids.tolist()
    assert np.abs(remote.embeddings() - local.embeddings()).max() < 1e-4
    before = bucket.reads()
    assert embed(f"{bucket.url}/p", tmp_path / "remote")["unchanged"] == 5
    assert bucket.reads() == before


def test_changed_object(photos, bucket, embed, photo, out):
    """A changed object is embedded again, a deleted one leaves the table, and a renamed one keeps its vector."""
    bucket.put_folder(photos, "p")
    embed(f"{bucket.url}/p", out)
    data = io.BytesIO()
    photo(99).save(data, "JPEG")
    bucket.put("p/z.jpg", data.getvalue())
    bucket.delete("p/a/10.jpg")
    bucket.delete("p/a/1.jpg")
    bucket.put("p/new.jpg", (photos / "a" / "1.jpg").read_bytes())
    document = embed(f"{bucket.url}/p", out)
    assert [document[name] for name in ("embedded", "unchanged", "renamed", "removed")] == [1, 2, 1, 1]


def test_object_that_can_not_be_read(photos, bucket, embed, out, monkeypatch):
    """An object deleted between listing and reading is a failure, and the others are embedded."""
    bucket.put_folder(photos, "p")
    source = open_source(f"{bucket.url}/p", SourceOptions())
    bucket.delete("p/z.jpg")
    *others, error = list(source.read(np.arange(5)))
    assert (error.stage, error.reason) == ("read", "unreadable")
    assert all(isinstance(one, bytes) for one in others)


def test_keys_with_an_empty_part(photos, bucket, embed, out):
    """A key that can't be read, such as `a//b.jpg`, is a failure that says so, wherever it is named."""
    bucket.put_folder(photos, "p")
    bucket.put_raw("p/a//b.jpg", (photos / "z.jpg").read_bytes())
    document = embed(f"{bucket.url}/p", out)
    assert (document["rows"], document["failures"]) == (5, {"unreadable": 1})
    (failure,) = read_failures(out).to_pylist()
    assert (failure["id"], failure["stage"]) == ("a//b.jpg", "read")
    assert "copy it to a plainer one" in failure["message"]
    bucket.put("list/list.csv", f"path\n{bucket.url}/p/a//b.jpg\n{bucket.url}/p/z.jpg\n".encode())
    listing = open_source(f"{bucket.url}/list/list.csv", SourceOptions()).listing
    assert [(one.stage, one.reason) for one in listing.failures] == [("list", "unreadable")]
    bucket.put_raw("tars/x//0.tar", b"")
    with pytest.raises(InputError, match=r"x//0.tar can't be read: the object's key can't be read"):
        open_source(f"{bucket.url}/tars", SourceOptions())


def test_many_are_read_at_once(photos, bucket):
    """Objects are downloaded in parallel: eight requests that wait for each other all return."""
    import threading

    bucket.put_folder(photos, "p")
    meeting = threading.Barrier(8)
    actual = list(
        files.map_uris(lambda place: meeting.wait(20) >= 0 and place, [f"{bucket.url}/{n}" for n in range(8)])
    )
    assert actual == [f"{bucket.url}/{number}" for number in range(8)]


def write_shard(images):
    """Return a tar of NAME.jpg and NAME.json."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as shard:
        for number, image in enumerate(images):
            for suffix, content in (("jpg", image), ("json", json.dumps({"number": number}).encode())):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return data.getvalue()


def test_shards(photos, bucket, tmp_path):
    """Shards in a bucket list and read as those on disk do, by few requests: the members that follow come along."""
    images = [path.read_bytes() for path in sorted(photos.rglob("*.[jJ][pP][gG]"))]
    (tmp_path / "shards").mkdir()
    for name in ("0.tar", "1.tar"):
        (tmp_path / "shards" / name).write_bytes(write_shard(images))
    bucket.put_folder(tmp_path / "shards", "shards")
    expected = rows(str(tmp_path / "shards"))
    assert rows(f"{bucket.url}/shards") == rows(f"{bucket.url}/shards/*.tar") == expected
    n_before = len(bucket.reads())
    rows(f"{bucket.url}/shards/0.tar")
    assert len(bucket.reads()) - n_before <= 3
    assert read_image(f"{bucket.url}/shards/0.tar/2.jpg") == images[2]


def test_shards_among_images(photos, bucket):
    """Shards among the images of a bucket are reported, and rejected if there are more of them than images."""
    bucket.put_folder(photos, "p")
    bucket.put("p/a/0.tar", write_shard([]))
    assert open_source(f"{bucket.url}/p", SourceOptions()).unread_shards == {f"{bucket.url}/p/*/*.tar": 1}
    for number in range(5):
        bucket.put(f"p/{number}.tar", write_shard([]))
    with pytest.raises(InputError, match=r"/p holds 5 images and 6 shards"):
        open_source(f"{bucket.url}/p", SourceOptions())


def test_tables_beside_archives(photos, bucket):
    """In a bucket, too, a Parquet file beside an archive of its name is no source of its own."""
    bucket.put("i2d/00000.tar", write_shard([(photos / "z.jpg").read_bytes()]))
    bucket.put("i2d/00000.parquet", b"a table of what is in the archive")
    bucket.put("i2d/00000_stats.json", b"{}")
    assert [row["id"] for row in rows(f"{bucket.url}/i2d")[0]] == ["00000.tar/0.jpg"]
    assert [row["id"] for row in rows(f"{bucket.url}/i2d/*")[0]] == ["00000.tar/0.jpg"]


def test_manifests(photos, bucket, tmp_path):
    """A manifest in a bucket names objects beside it, and one on disk may name objects; Parquet may hold the bytes."""
    bucket.put_folder(photos, "p")
    text = io.StringIO()
    csv.writer(text).writerows([["path", "label"], ["a/1.jpg", "x"], ["gone.jpg", "y"]])
    bucket.put("p/images.csv", text.getvalue().encode())
    data = (photos / "a" / "1.jpg").read_bytes()
    actual, contents = rows(f"{bucket.url}/p/images.csv")
    assert (actual[0]["id"], actual[0]["label"], contents) == ("a/1.jpg", "x", [data])
    assert len(open_source(f"{bucket.url}/p/images.csv", SourceOptions()).listing.failures) == 1
    (tmp_path / "list.txt").write_text(f"{bucket.url}/p/a/1.jpg\n")
    assert rows(str(tmp_path / "list.txt"))[1] == [data]
    table = io.BytesIO()
    pq.write_table(pa.table({"image": [data] * 3}), table)
    bucket.put("p/images.parquet", table.getvalue())
    assert rows(f"{bucket.url}/p/images.parquet")[1] == [data] * 3


@pytest.mark.parametrize("place", ["nowhere", "p/empty"])
def test_nothing_there(place, bucket):
    """A prefix without objects is one error that names it, and what to check."""
    with pytest.raises(InputError, match=f"{bucket.url}/{place} does not exist") as caught:
        open_source(f"{bucket.url}/{place}", SourceOptions())
    assert "AWS_ENDPOINT_URL" in caught.value.hint


def test_no_such_bucket(bucket):
    """A bucket that does not exist is one error that names it."""
    with pytest.raises(InputError, match="s3://not-there/photos can't be listed"):
        open_source("s3://not-there/photos", SourceOptions())


@pytest.mark.slow
def test_server_does_not_answer(bucket, monkeypatch):
    """Where no server answers, the error says so at once."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    file_system.cache_clear()
    with pytest.raises(InputError, match="s3://other/photos can't be listed"):
        open_source("s3://other/photos", SourceOptions())
    file_system.cache_clear()


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/p", "s3://bucket/p?endpoint_override=host", "gs://me@b"])
def test_no_credentials_in_urls(url):
    """A URL with a key or options in it is rejected, and not repeated: it would be stored with every image."""
    with pytest.raises(InputError, match="has credentials or options in it") as caught:
        check_bucket_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://host/a.jpg", "az://container"])
def test_other_urls(url):
    """Any other sort of URL is rejected with what is read."""
    with pytest.raises(InputError, match="images are read from disk, s3://, gs:// or lists of URLs"):
        open_source(url, SourceOptions())


def test_google(monkeypatch):
    """gs:// leads to Google's file system."""
    system, path = open_file_system("gs://bucket/photos/a.jpg")
    assert (system.type_name, path) == ("gcs", "bucket/photos/a.jpg")
