import os
import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions, read_labels
from frieze.embedder.sources.exclude import ExcludePatterns
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0"
FORMS = ("NFC", "NFD")


def written(text, form):
    """Write the accents of a text in a form of Unicode."""
    return unicodedata.normalize(form, text)


def labels_of(source):
    """Return id -> label of a source's images."""
    return {row["id"]: row["label"] for row in source.listing.images.to_pylist()}


@pytest.mark.parametrize("on_disk", FORMS)
@pytest.mark.parametrize("in_file", FORMS)
def test_labels_file(on_disk, in_file, named_photos, tmp_path):
    """A file of labels is joined whether accents are one code point or two, on either side; differences are noted."""
    names = [written(name, on_disk) for name in ("Öl/Müller.jpg", "Öl/b.jpg", "x/c.jpg")]
    source = named_photos(names)
    (tmp_path / "l.csv").write_text(written("id,label\nÖl/Müller.jpg,Ä\nÖl/b.jpg,B\nx/c.jpg,C\nnone.jpg,D\n", in_file))
    opened = open_source(str(source), SourceOptions(labels=str(tmp_path / "l.csv")))
    assert labels_of(opened) == dict(zip(names, ["Ä", "B", "C"], strict=True))
    assert (opened.n_unmatched, len(opened.notes)) == (1, on_disk != in_file)
    assert on_disk == in_file or "are spelled differently from those of their images: 2 (" in opened.notes[0]


def test_exact_ids_come_first(named_photos, tmp_path):
    """Of two images whose names differ in nothing else, each has its own row."""
    names = [written("ü.jpg", form) for form in FORMS]
    pq.write_table(pa.table({"id": names, "label": list(FORMS)}), tmp_path / "l.parquet")
    opened = open_source(str(named_photos(names)), SourceOptions(labels=str(tmp_path / "l.parquet")))
    assert (labels_of(opened), opened.notes) == (dict(zip(names, FORMS, strict=True)), ())


def test_names_alone(named_photos, tmp_path):
    """Matching by the file's name alone does not look at how accents are written either."""
    source = named_photos([written("x/Müller.jpg", "NFD")])
    (tmp_path / "l.csv").write_text(written("id,label\n Müller.jpg ,A\n", "NFC"))
    assert list(labels_of(open_source(str(source), SourceOptions(labels=str(tmp_path / "l.csv")))).values()) == ["A"]


@pytest.mark.parametrize("name", ["m.csv", "m.tsv", "m.jsonl", "m.txt"])
@pytest.mark.parametrize("on_disk", FORMS)
def test_paths(name, on_disk, named_photos, tmp_path):
    """A path leads to its image whether accents are one code point or two, and with blanks around it; this is noted."""
    named_photos([written("Öl/Müller.jpg", on_disk), "a.jpg", "b.jpg", "gone/c.jpg"])
    other = FORMS[on_disk == "NFC"]
    paths = [written("photos/Öl/Müller.jpg", other), "photos/a.jpg ", "photos/b.jpg", "photos/lost.jpg"]
    lines = [f'{{"path": "{path}"}}' for path in paths] if name == "m.jsonl" else paths
    header = [] if name in ("m.jsonl", "m.txt") else ["path"]
    (tmp_path / name).write_text("\n".join(header + lines))
    opened = open_source(str(tmp_path / name), SourceOptions())
    assert list(labels_of(opened)) == paths[:3]
    assert [bytes(one)[:4] for one in opened.read(pa.array([0, 1, 2]))] == [JPEG] * 3
    assert [one.id for one in opened.listing.failures] == paths[3:]
    assert "spelled differently from the names of their images: 2 (blanks" in opened.notes[0]


def test_no_files(named_photos, tmp_path):
    """A path to a pipe or a folder, however it is written, is no image of another spelling."""
    named_photos(["a.jpg", "folder/b.jpg"])
    os.mkfifo(tmp_path / "photos" / "pipe.jpg")
    paths = ["photos/a.jpg", "photos/pipe.jpg", "photos/folder", "photos/folder ", "/dev/zero"]
    (tmp_path / "m.csv").write_text("\n".join(["path", *paths]))
    opened = open_source(str(tmp_path / "m.csv"), SourceOptions())
    assert (len(opened.listing.images), len(opened.listing.failures), opened.notes) == (1, 4, ())


def test_slashes_of_windows(named_photos, tmp_path):
    """A path with the slashes of Windows leads to its image, and is joined to it, where others do not need that."""
    source = named_photos(["x/a.jpg", "x/b.jpg"])
    (source / "m.csv").write_text("path,label\n.\\x\\a.jpg,A\nx/b.jpg,B\n")
    assert list(labels_of(open_source(str(source / "m.csv"), SourceOptions())).values()) == ["A", "B"]
    (tmp_path / "l.csv").write_text("path,label\nx\\a.jpg,A\nx/b.jpg,B\n")
    opened = open_source(str(source), SourceOptions(labels=str(tmp_path / "l.csv")))
    assert (list(labels_of(opened).values()), opened.n_unmatched) == (["A", "B"], 0)


def test_two_of_one_spelling(named_photos, tmp_path):
    """Where two files could be meant, neither is."""
    named_photos(["a.jpg ", " a.jpg", "b.jpg"])
    (tmp_path / "m.csv").write_text("path\nphotos/a.jpg\nphotos/b.jpg\n")
    assert [one.id for one in open_source(str(tmp_path / "m.csv"), SourceOptions()).listing.failures] == [
        "photos/a.jpg"
    ]


def test_labels_of_folders(named_photos):
    """Folders that differ only in how accents are written, or in blanks around their names, are one label."""
    names = [f"{written('Öl', form)}/{form}.jpg" for form in FORMS]
    source = named_photos([*names, "cat/a.jpg", "cat /b.jpg", "  /c.jpg"])
    assert labels_of(open_source(str(source), SourceOptions())) == {
        **dict.fromkeys(names, written("Öl", "NFC")),
        "cat/a.jpg": "cat",
        "cat /b.jpg": "cat",
        "  /c.jpg": None,
    }


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_blanks_around_labels(suffix, named_photos, tmp_path):
    """Blanks around a label are no part of it, in manifests and in files of labels."""
    source = named_photos(["a.jpg", "b.jpg", "c.jpg"])
    rows = [("a.jpg", "cat "), ("b.jpg", " cat"), ("c.jpg", "  ")]
    separator = {"csv": ",", "tsv": "\t", "jsonl": ""}[suffix]
    lines = [f'{{"path": "{path}", "label": "{label}"}}' for path, label in rows]
    if separator:
        lines = [f"path{separator}label", *(separator.join(row) for row in rows)]
    file = source / f"l.{suffix}"
    file.write_text("\n".join(lines))
    expected = ["cat", "cat", None]
    assert list(labels_of(open_source(str(file), SourceOptions())).values()) == expected
    assert read_labels(file).labels.to_pylist() == expected


def test_missing_with_blanks(named_photos):
    """A spelled-out missing value is one with blanks around it, too."""
    source = named_photos(["a.jpg", "b.jpg"])
    (source / "m.csv").write_text("path,label\na.jpg, NaN\nb.jpg, cat\n")
    assert labels_of(open_source(str(source / "m.csv"), SourceOptions())) == {"a.jpg": None, "b.jpg": "cat"}


@pytest.mark.parametrize("pattern", FORMS)
@pytest.mark.parametrize("path", FORMS)
def test_excluded(pattern, path):
    """A pattern excludes a name whether accents are one code point or two, on either side."""
    excluded = ExcludePatterns([written("Ö*", pattern)])
    assert (excluded.matches(written("x/Öl/a.jpg", path)), excluded.matches("x/Ol/a.jpg")) == (True, False)


def test_nothing_matches(named_photos, tmp_path):
    """Where nothing matches all the same, the message shows both sides."""
    (tmp_path / "l.csv").write_text("id,label\nx/1.jpg,A\n")
    with pytest.raises(InputError, match=r"names no image of the source: its ids are x/1\.jpg, the source's a\.jpg"):
        open_source(str(named_photos(["a.jpg"])), SourceOptions(labels=str(tmp_path / "l.csv")))
