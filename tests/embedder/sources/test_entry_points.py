import importlib
import pickle

import numpy as np
import pytest

from frieze.core import ImageError, InputError
from frieze.embedder import BackboneRequest, JobOptions, SourceOptions, embed_source
from frieze.embedder.sources import entry_points
from frieze.embedder.sources.open import is_listed_as, open_source, read_image
from frieze.features import open_features

MODULE = """
import io

import numpy as np
from PIL import Image


class Lab:
    def __init__(self, year):
        if not year.isdecimal():
            raise ValueError("no year")
        self.pixels = {f"{year}/{n}.png": np.full((8, 8, 3), 60 * n, np.uint8) for n in range(3)}

    def images(self):
        for n, id in enumerate(self.pixels):
            yield {"id": id, "label": ["cat", "dog"][: n + 1], "scanner": f"s{n}", "size_bytes": n, "mtime_ns": 5}
        yield {"id": "gone", "scanner": "s3"}

    def read(self, id):
        if id == "2024/0.png":
            file = io.BytesIO()
            Image.fromarray(self.pixels[id]).save(file, "PNG")
            return file.getvalue()
        return self.pixels[id]


class Failing(Lab):
    def __init__(self, what):
        super().__init__("2024")
        self.what = what
        if what == "opens":
            raise RuntimeError("no license")

    def images(self):
        yield from list(super().images())[:2]
        if self.what == "lists":
            raise ZeroDivisionError

    def read(self, id):
        if id.endswith("1.png"):
            raise RuntimeError("its disk is gone")
        return super().read(id)


class Nameless(Lab):
    def images(self):
        return ["a.jpg"]
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package `lab_package` that registers the sources `lab` and `nameless`, and `broken`, which is not there."""
    (tmp_path / "site" / "lab-1.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "lab_package.py").write_text(MODULE)
    (tmp_path / "site" / "lab-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1\n")
    names = {"lab": "Lab", "nameless": "Nameless", "broken": "Absent", "failing": "Failing"}
    lines = [f"{name} = lab_package:{of}" for name, of in names.items()]
    (tmp_path / "site" / "lab-1.dist-info" / "entry_points.txt").write_text("\n".join(["[frieze.sources]", *lines]))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    entry_points._opened.cache_clear()
    return tmp_path


def listed(source, **options):
    """Open a source."""
    return open_source(source, SourceOptions(**options))


@pytest.mark.usefixtures("installed")
def test_a_registered_source():
    """Ids, labels and columns are the package's; its `read` gives bytes or arrays, and a reason where it fails."""
    source = listed("lab:2024")
    rows = source.listing.images.to_pylist()
    names = ("id", "label", "labels", "scanner", "size_bytes", "mtime_ns")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("2024/0.png", "cat", ["cat"], "s0", 0, 5),
        ("2024/1.png", None, ["cat", "dog"], "s1", 1, 5),
        ("2024/2.png", None, ["cat", "dog"], "s2", 2, 5),
        ("gone", None, None, "s3", None, None),
    ]
    contents = list(source.read(np.arange(4)))
    assert contents[0].startswith(b"\x89PNG")
    assert [isinstance(one, bytes) for one in contents] == [True, True, True, False]
    assert (contents[3].reason, contents[3].message) == ("unreadable", "read() of Lab raises KeyError: 'gone'")
    assert [read_image(row["uri"]) for row in rows[:3]] == contents[:3]
    assert is_listed_as("lab:2024", source.listing.source)
    assert list(pickle.loads(pickle.dumps(source)).read(np.arange(1))) == contents[:1]  # noqa: S301  made here
    with pytest.raises(ImageError, match="KeyError"):
        read_image(rows[3]["uri"])


@pytest.mark.usefixtures("installed")
def test_embed(tiny, tmp_path):
    """A table of such a source is made, and has nothing to do when it is run again."""
    request, options = BackboneRequest(handle=str(tiny)), JobOptions()
    first = embed_source("lab:2024", tmp_path / "out", request=request, options=options)
    second = embed_source("lab:2024", tmp_path / "out", request=request, options=options)
    assert (first["embedded"], first["failed"], second["embedded"], second["unchanged"]) == (3, 1, 0, 3)
    assert list(open_features(tmp_path / "out").ids) == ["2024/0.png", "2024/1.png", "2024/2.png"]


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("lab:x", {}, "can't be opened by lab_package:Lab: ValueError: no year"),
        ("failing:opens", {}, "can't be opened by lab_package:Failing: RuntimeError: no license"),
        ("failing:lists", {}, r"images\(\) of Failing raises ZeroDivisionError, after 2 images"),
        (
            "broken:1",
            {},
            "can't be opened by lab_package:Absent: AttributeError: module 'lab_package' has no attribute",
        ),
        ("nameless:1", {}, r"Image 0 of nameless:1 has no id: it is 'a\.jpg'"),
        ("lab:2024", {"id": "scanner"}, "names its images itself"),
        ("lab:2024", {"query": "select 1"}, "is no database"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_refused(source, options, message):
    """What the package or its source refuses, or gives without ids, is said with its name."""
    with pytest.raises(InputError, match=message):
        listed(source, **options)


@pytest.mark.usefixtures("installed")
def test_any_error_of_an_image_is_its_failure():
    """Whatever a package raises for one image is that image's failure, with its name; the others are read."""
    source = listed("failing:1")
    first, second = source.read(np.arange(2))
    assert isinstance(first, bytes)
    assert (second.reason, second.message) == ("unreadable", "read() of Failing raises RuntimeError: its disk is gone")


def test_not_registered(tmp_path, monkeypatch):
    """Text with a colon that no package is registered for is a path."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="There is no other:2024 in"):
        listed("other:2024")
    (tmp_path / "lab:a").mkdir()
    (tmp_path / "lab:a" / "0.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(99))
    assert listed("lab:a").listing.images["id"].to_pylist() == ["0.jpg"]
