"""Picture statistics of `frieze embed --stats`, in `--where`, and in `audit`."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """Two classes of six pictures; `a/0.png` is nearly black, `a/1.png` blurred and `b/0.png` very wide."""
    rng = np.random.default_rng(0)
    for number in range(12):
        pixels = rng.integers(0, 256, (90, 120, 3), np.uint8)
        image = Image.fromarray(pixels // 60 if number == 0 else pixels)
        image = image.resize((4, 3)).resize((120, 90)) if number == 1 else image
        image = image.resize((600, 90)) if number == 6 else image
        path = tmp_path / "photos" / "ab"[number // 6] / f"{number % 6}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return tmp_path / "photos"


def test_in_audit_and_filters(photos, run_json, tmp_path):
    """Unusual pictures are findings, and `--where` takes the columns."""
    table, index, findings = (tmp_path / name for name in ("table", "index", "findings.parquet"))
    _, document = run_json("embed", photos, "--out", table, "--stats")
    assert document["rows"] == 12
    _, document = run_json("audit", table, "--out", findings)
    assert [document["counts"][kind] for kind in ("dark", "odd_size")] == [1, 1]
    kinds = pq.read_table(findings).select(["kind", "id"]).to_pylist()
    assert {"kind": "blurred", "id": "a/1.png"} in kinds
    assert {"kind": "dark", "id": "a/0.png"} in kinds
    assert {"kind": "odd_size", "id": "b/0.png"} in kinds
    run_json("index", table, "--out", index)
    _, document = run_json("search", index, "id:a/2.png", "--where", "brightness < 0.1")
    (hit,) = document["queries"][0]["hits"]
    assert hit["id"] == "a/0.png"
    assert hit["aspect"] == pytest.approx(4 / 3)
