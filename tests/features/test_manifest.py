import dataclasses
import json
import os
import re

import pytest

from frieze.core import FeatureFileError
from frieze.features import open_features, read_manifest
from frieze.features.manifest import Part

PART = Part("part-000000.parquet", 2, 100, 5, "ab" * 32)


def _rewrite(table, **changes):
    document = json.loads((table / "features.json").read_text())
    (table / "features.json").write_text(json.dumps(document | changes))


def test_round_trip(tmp_path, manifest):
    """A manifest read back is the one that was written."""
    full = dataclasses.replace(manifest, request={"fit": "crop"}, n_failed=3, n_ignored=4, parts=(PART,))
    full.write(tmp_path)
    assert read_manifest(tmp_path) == full


def test_counts(manifest):
    """The counts are the sums over the live parts."""
    full = dataclasses.replace(manifest, n_failed=3, n_ignored=4, parts=(PART, dataclasses.replace(PART, rows=5)))
    assert full.to_json()["counts"] == {"rows": 7, "failed": 3, "ignored": 4}


@pytest.mark.parametrize("change", [{"sha256": "cd" * 32}, {"name": "part-000001.parquet"}])
def test_generation_follows_content(change, manifest):
    """Another content or place of a part is another generation."""
    one = dataclasses.replace(manifest, parts=(PART,))
    other = dataclasses.replace(manifest, parts=(dataclasses.replace(PART, **change),))
    assert one.generation != other.generation
    assert len(one.generation) == 16


def test_generation_ignores_the_clock(manifest):
    """A copied table, with other file times, is the same generation."""
    one, copy = (dataclasses.replace(manifest, parts=(dataclasses.replace(PART, mtime_ns=ns),)) for ns in (5, 6))
    assert one.generation == copy.generation


def test_generation_of_another_backbone(manifest, spec):
    """Equal parts of another backbone are another generation."""
    other = dataclasses.replace(manifest, spec=dataclasses.replace(spec, fingerprint="cd" * 32))
    assert other.generation != manifest.generation


def test_part_of_a_file(tmp_path):
    """A part is described by name, rows, size, time and hash of its file."""
    path = tmp_path / "part-000007.parquet"
    path.write_bytes(b"abc")
    os.utime(path, ns=(9, 9))
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert Part.of(path, 2) == Part("part-000007.parquet", 2, 3, 9, sha256)


@pytest.mark.parametrize(("content", "time", "is_match"), [("abc", 9, True), ("abcd", 9, False), ("abc", 10, False)])
def test_matches_file(content, time, is_match, tmp_path):
    """A file of another size or time is no longer the part described."""
    path = tmp_path / "part"
    path.write_text("abc")
    os.utime(path, ns=(9, 9))
    part = Part.of(path, 1)
    path.write_text(content)
    os.utime(path, ns=(9, time))
    assert part.matches_file(path) is is_match


def test_missing_table(tmp_path):
    """Where there is no table, the error tells how to make one."""
    with pytest.raises(FeatureFileError) as caught:
        open_features(tmp_path)
    assert caught.value.message == f"There is no {tmp_path / 'features.json'}."
    assert caught.value.hint == f"Make the table with: frieze embed SOURCE --out {tmp_path}"


def test_a_folder_of_something_else(tmp_path):
    """Of a folder that holds something else, the hint does not make a table there."""
    (tmp_path / "tom.jpg").touch()
    with pytest.raises(FeatureFileError, match="Give the folder of a table, or make one with"):
        open_features(tmp_path)


@pytest.mark.parametrize("change", [{"contract": 2}, {"kind": "index"}])
def test_other_contract_refused(change, table):
    """A later contract or another kind of folder is refused, with what this version reads."""
    _rewrite(table, **change)
    with pytest.raises(FeatureFileError, match=r"this version reads features up to contract 1(?s:.)*pip install"):
        read_manifest(table)


@pytest.mark.parametrize("field", ["contract", "backbone", "counts", "parts"])
@pytest.mark.parametrize("value", [None, [1], "x"])
def test_broken_field_refused(field, value, table):
    """A field of the wrong kind is a mendable error, whatever it holds."""
    _rewrite(table, **{field: value})
    with pytest.raises(FeatureFileError, match="lacks what a table of features has"):
        read_manifest(table)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("request",), [1]),
        (("source",), 7),
        (("versions",), "x"),
        (("counts", "failed"), "3"),
        (("backbone", "dim"), "4"),
        (("backbone", "layer"), 3),
        (("parts", 0, "name"), 1),
        (("parts", 0, "rows"), "2"),
        (("parts", 1, "mtime_ns"), None),
    ],
)
def test_field_of_another_type_refused(place, value, table):
    """A field deep inside of the wrong type is a mendable error that names it."""
    document = inner = json.loads((table / "features.json").read_text())
    *above, last = place
    for name in above:
        inner = inner[name]
    inner[last] = value
    _rewrite(table, **document)
    with pytest.raises(
        FeatureFileError, match=f"lacks what a table of features has .*{last} is {re.escape(repr(value))}"
    ):
        read_manifest(table)


def test_missing_field_refused(table):
    """A field that is missing is named."""
    document = json.loads((table / "features.json").read_text())
    del document["engine"]
    (table / "features.json").write_text(json.dumps(document))
    with pytest.raises(FeatureFileError, match="'engine'"):
        read_manifest(table)


def test_tuning_is_optional(manifest, tmp_path):
    """A choice of engine comes back as it was written; where none was made, features.json does not speak of it."""
    manifest.write(tmp_path)
    assert "tuning" not in json.loads((tmp_path / "features.json").read_text())
    assert read_manifest(tmp_path).tuning == {}
    tuned = dataclasses.replace(manifest, tuning={"engine": "openvino"})
    tuned.write(tmp_path)
    assert read_manifest(tmp_path) == tuned
