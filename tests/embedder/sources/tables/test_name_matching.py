import pyarrow as pa
import pytest

from frieze.core import InputError
from frieze.embedder.sources.tables import name_matching
from frieze.embedder.sources.tables.name_matching import images_below, match_by_name


def match(names, others):
    """Match names with others; the numbers, and how."""
    matched = match_by_name(pa.chunked_array([names]), pa.chunked_array([others]), uri="list.csv", hint="Do that.")
    return None if matched is None else (matched[0].to_pylist(), matched[1])


@pytest.mark.parametrize(
    ("names", "others", "expected"),
    [
        (["x/b.jpg", "c.jpg"], ["y/a.jpg", "z/b.jpg"], ([1, None], "file name")),
        (["C:\\photos\\b.jpg"], ["/data/b.jpg"], ([0], "file name")),
        (["b"], ["y/a.jpg", "y/b.jpg"], ([1], "file name without its extension")),
        (["b.png"], ["y/b.jpg"], ([0], "file name without its extension")),
        (["b.v2.png"], ["b.v2.jpg", "b.jpg"], ([0], "file name without its extension")),
        (["Cafe\u0301.jpg"], ["Caf\u00e9.jpg"], ([0], "file name")),
    ],
)
def test_matches(names, others, expected):
    """Paths match by file name, whatever their folders and separators; only where none does, without extension."""
    assert match(names, others) == expected


def test_nothing_matches():
    """No match at all is None, not a column of nulls."""
    assert match(["a.jpg"], ["b.jpg"]) is None


@pytest.mark.parametrize(
    ("names", "others"), [(["x/a.jpg", "y/a.jpg"], ["a.jpg"]), (["a.jpg"], ["x/a.jpg", "y/a.jpg"])]
)
def test_ambiguous_names(names, others):
    """Two paths of one name that is matched are refused, on either side; both are named."""
    with pytest.raises(InputError, match=r"list\.csv refers to images by file name, and x/a\.jpg and y/a\.jpg share"):
        match(names, others)


def test_ambiguous_but_unmatched():
    """Two paths of a name that nothing refers to are no matter."""
    assert match(["b.jpg"], ["x/a.jpg", "y/a.jpg", "b.jpg"]) == ([2], "file name")


def test_images_below(tmp_path, monkeypatch):
    """Images are listed by extension, sorted, without hidden files and folders; none where files are too many."""
    for name in ("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", ".folder/c.jpg", "deep/er/d.webp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    below = [f"{tmp_path}/{name}" for name in ("a.PNG", "b.jpg", "deep/er/d.webp")]
    assert images_below(str(tmp_path)) == below
    monkeypatch.setattr(name_matching, "_MAX_FILES", 4)
    assert images_below(str(tmp_path)) == below
    monkeypatch.setattr(name_matching, "_MAX_FILES", 3)
    assert images_below(str(tmp_path)) == []
