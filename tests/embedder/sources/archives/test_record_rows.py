import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.archives import record_rows
from frieze.embedder.sources.open import open_source

JPEG, PNG = b"\xff\xd8\xff\xe0" + bytes(20), b"\x89PNG\r\n\x1a\n" + bytes(30)
USUAL = {"image": JPEG, "label": 1, "name": b"a.jpg", "score": 0.5}
UNUSUAL = (
    {"image": PNG},
    {"image": JPEG[:8]},
    {"image": b"no image at all"},
    {"label": 2},
    {"label": [1, 2]},
    {"label": b""},
    {"label": b"caf\xe9"},
    {"name": b""},
    {"name": "ü".encode()},
    {"name": JPEG},
    {"name": b"x" * 6, "height": 2, "width": 3},
    {"score": []},
    {"labels": [b"a", b"b"]},
    {"cls": b"owl"},
    {"cls": b""},
)
OPTIONS = ({}, {"id": "name"}, {"label": "name"}, {"image": "image"}, {"labels": "none"}, {"image": "name"})


def listed(path, least_rows, **options):
    """List a file with batches of so many rows at least; return all that is told of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_rows, "_LEAST_ROWS", least_rows)
        try:
            source = open_source(str(path), SourceOptions(**options))
        except Exception as error:  # noqa: BLE001  the two must fail alike
            return repr(error)
    listing = source.listing
    contents = [str(one) for one in source.read(np.arange(len(listing.images)))]
    return listing.images, listing.failures, listing.n_ignored, source.notes, contents


@given(
    unusual=st.lists(st.tuples(st.integers(0, 11), st.sampled_from(UNUSUAL)), max_size=4),
    options=st.sampled_from(OPTIONS),
    flipped=st.none() | st.integers(0, 1000),
    classes=st.sampled_from([None, "a", "ab"]),
)
@settings(max_examples=40, deadline=None)
def test_many_at_once_as_one_by_one(classes, unusual, options, flipped, write_records, tmp_path_factory):
    """Records that are listed many at once have the rows, failures and notes that they have one by one."""
    folder = tmp_path_factory.mktemp("records")
    if classes:
        features = {"label": {"classLabel": {}}}
        (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
        (folder / "dataset_info.json").write_text(json.dumps({"name": "x", "splits": [{"name": "test"}]}))
        (folder / "label.labels.txt").write_text("\n".join(classes))
    records = [USUAL | {"label": n % 2, "name": f"{n}.jpg".encode()} for n in range(12)]
    for row, other in unusual:
        records[row] = records[row] | other
    path = write_records(folder / "x-test.tfrecord", records)
    if flipped is not None:
        data = bytearray(path.read_bytes())
        data[flipped * 7919 % len(data)] ^= 1
        path.write_bytes(data)
    assert listed(path, 1, **options) == listed(path, 10**9, **options)


def test_are_listed_many_at_once(write_records, tmp_path, monkeypatch):
    """Usual records are not parsed one by one."""
    path = write_records(tmp_path / "a.tfrecord", [USUAL | {"label": n} for n in range(100)])
    monkeypatch.setattr("frieze.embedder.sources.archives.tfrecord.parse", None)
    assert open_source(str(path), SourceOptions()).listing.images["label"].to_pylist() == [str(n) for n in range(100)]
