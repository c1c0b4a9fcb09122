import pytest

from frieze.embedder import BackboneRequest, JobOptions, estimate_source
from frieze.features import open_features, read_failures

NAMES = ["a/1.jpg", "a/in/2.jpg", "b/3.jpg", "b/4.jpg", "c.jpg"]
REPORTED = ("removed", "removed_folders", "kept_folders", "rows", "failures")


@pytest.fixture
def folders(tmp_path, write_photos, embed, out):
    """Five photographs in three folders, and their table."""
    folder = write_photos(tmp_path / "photos", NAMES)
    embed(folder, out)
    return folder


def removed_and_kept(document):
    """Return the fields of a document about rows that are removed or kept."""
    return tuple(document[name] for name in REPORTED)


def empty(folder):
    """Empty a folder, like one whose disk is no longer mounted."""
    for path in folder.rglob("*.jpg"):
        path.unlink()


@pytest.mark.parametrize("source", ["", "*/*.jpg", "**/*.jpg"])
def test_an_empty_folder_keeps_its_rows(source, folders, embed, tmp_path):
    """Rows of a folder that is empty now stay; it is a failure in each run until it is filled or deleted."""
    out = tmp_path / "features"
    n_rows = embed(str(folders / source), out)["rows"]
    data = {path: path.read_bytes() for path in (folders / "b").iterdir()}
    empty(folders / "b")
    for _ in range(2):
        assert removed_and_kept(embed(str(folders / source), out)) == (0, {}, {"b": 2}, n_rows, {"empty folder": 1})
    (failure,) = read_failures(out).to_pylist()
    assert (failure["id"], failure["message"]) == ("b", "nothing is in this folder now; 2 rows of it stay")
    for path, content in data.items():
        path.write_bytes(content)
    assert removed_and_kept(embed(str(folders / source), out)) == (0, {}, {}, n_rows, {})


def test_what_lay_deeper(folders, embed, out):
    """Rows of all subfolders stay too, and hidden files do not count."""
    empty(folders / "a")
    (folders / "a" / "in").rmdir()
    (folders / "a" / ".DS_Store").write_bytes(b"")
    assert removed_and_kept(embed(folders, out)) == (0, {}, {"a": 2}, 5, {"empty folder": 1})


def test_a_deleted_folder(folders, embed, out):
    """Rows of a deleted folder are removed, and the document names the topmost deleted folder."""
    empty(folders / "a")
    (folders / "a" / "in").rmdir()
    (folders / "a").rmdir()
    (folders / "b" / "3.jpg").unlink()
    assert removed_and_kept(embed(folders, out)) == (3, {"a": 2}, {}, 2, {})
    assert removed_and_kept(embed(folders, out)) == (0, {}, {}, 2, {})


def test_a_link_to_a_disk(folders, embed, out, tmp_path, write_photos):
    """A link to a missing folder keeps its rows, like an empty folder."""
    disk = write_photos(tmp_path / "disk", ["k.jpg"], first_seed=9)
    (folders / "linked").symlink_to(disk)
    assert embed(folders, out)["rows"] == 6
    disk.rename(tmp_path / "away")
    assert removed_and_kept(embed(folders, out)) == (0, {}, {"linked": 1}, 6, {"empty folder": 1})


def test_moved_out(folders, embed, out):
    """Images that were moved elsewhere are renamed: the folder that they leave empty keeps no rows."""
    (folders / "b" / "3.jpg").rename(folders / "3.jpg")
    (folders / "b" / "4.jpg").rename(folders / "a" / "4.jpg")
    document = embed(folders, out)
    assert (document["renamed"], *removed_and_kept(document)) == (2, 0, {}, {}, 5, {})
    assert set(open_features(out).ids) == {"3.jpg", "a/1.jpg", "a/4.jpg", "a/in/2.jpg", "c.jpg"}


def test_always_empty(folders, embed, out):
    """An empty folder without stored rows is not reported."""
    (folders / "new").mkdir()
    assert removed_and_kept(embed(folders, out)) == (0, {}, {}, 5, {})


def test_dry_run(folders, tiny, out):
    """A dry run reports the same, and changes nothing."""
    empty(folders / "a" / "in")
    empty(folders / "b")
    (folders / "b").rmdir()
    document = estimate_source(folders, out, request=BackboneRequest(handle=str(tiny)), options=JobOptions())
    assert [document[name] for name in REPORTED[:3]] == [2, {"b": 2}, {"a/in": 1}]
    assert len(open_features(out).ids) == 5
