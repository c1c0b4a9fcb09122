"""Pictures that are known and not read are named, with what to do."""

import pyarrow.compute as pc
import pytest

from frieze.core import InputError
from frieze.embedder.images import unsupported_formats
from frieze.embedder.images.unsupported_formats import FORMATS, OTHER, count_formats, format_of
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source
from frieze.features import read_failures

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(100)


@pytest.fixture
def no_heic(monkeypatch):
    """HEIC is not read, as where the extra is not installed."""
    monkeypatch.setattr("frieze.embedder.images.signatures.can_read_heic", lambda: False)
    formats = tuple(one._replace(is_read=lambda: False) if one.name == "HEIC" else one for one in FORMATS)
    monkeypatch.setattr(unsupported_formats, "FORMATS", formats)
    monkeypatch.setattr(unsupported_formats, "_BY_SUFFIX", {end: one for one in formats for end in one.suffixes})


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("a.HEIC", b"", "HEIC"),
        ("a.dat", HEIC, "HEIC"),
        ("a", b"FUJIFILMCCD-RAW 0201", "RAW"),
        ("a.bin", b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x01crx isom", "RAW"),
        ("a.NEF", b"", "RAW"),
        ("a.arw", b"", "RAW"),
        ("a.x", b"8BPS\x00\x02", "large Photoshop"),
        ("a.jxl", b"\xff\x0a", "JPEG XL"),
        ("a.tar.gz", b"\x1f\x8b", ".gz"),
        ("README", b"text", "no suffix"),
        ("a.MP4", b"\x00\x00\x00\x18ftypmp42", ".mp4"),
    ],
)
def test_format_of(name, head, message):
    """A picture's signature decides its format; without a known one, the extension does."""
    assert format_of(name, head) == message


def test_many_formats():
    """Pictures come first, then what is frequent; the rare ones of many are counted together."""
    counts = count_formats({f".{n:02}": 1 for n in range(30)} | {".txt": 5, "RAW": 2})
    assert list(counts)[:2] == ["RAW", ".txt"]
    assert (counts[OTHER], sum(counts.values()), len(counts)) == (12, 37, 21)


def test_nothing_but_heic(tmp_path, no_heic):
    """Where a source holds pictures alone that are not read, the message names them and what to install."""
    (tmp_path / "a.heic").write_bytes(HEIC)
    with pytest.raises(InputError, match=r"no image in .*: 1 other file was found\. These are: 1 HEIC\.") as caught:
        open_source(str(tmp_path), SourceOptions())
    assert "pip install 'frieze[heic]'" in caught.value.hint


def test_counted_with_failures(folder, no_heic, embed, out):
    """Those that are ignored and those that are failures under an image's name are counted as one."""
    (folder / "k.jpg").write_bytes(HEIC)
    (folder / "l.heic").write_bytes(HEIC)
    (folder / "m.txt").write_text("text")
    document = embed(folder, out)
    assert (document["ignored"], document["ignored_formats"]) == (2, {"HEIC": 1, ".txt": 1})
    assert document["unread_pictures"] == {"HEIC": {"images": 2, "hint": "pip install 'frieze[heic]'"}}
    assert document["failed"] == 1


def test_readable_now(folder, embed, out, monkeypatch):
    """A failure for a format that is read by now is no longer taken for known; any other is."""
    (folder / "k.jpg").write_bytes(HEIC)
    (folder / "l.jpg").write_bytes(b"text")
    with monkeypatch.context() as patch:
        patch.setattr("frieze.embedder.images.signatures.can_read_heic", lambda: False)
        embed(folder, out)
    tried = []
    monkeypatch.setattr(unsupported_formats, "FORMATS", tuple(one._replace(is_read=lambda: True) for one in FORMATS))
    embed(folder, out, progress=lambda _, n_pending: tried.append(n_pending))
    assert set(tried) == {1}
    assert pc.sum(pc.equal(read_failures(out)["reason"], "not an image")).as_py() == 1
