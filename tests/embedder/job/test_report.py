import json

import pytest

KEYS = {
    *("images", "embedded", "unchanged", "removed", "failed", "ignored", "seconds", "images_per_second"),
    *("dim", "backbone", "engine", "precision", "stages", "startup_seconds", "rows", "out", "failures", "left"),
    *("renamed", "duplicates", "broken_parts", "cpu_seconds", "bound_by", "advice", "batch_size", "drift"),
    *(
        "unlabelled",
        "unmatched_labels",
        "unread_shards",
        "other_programs",
        "unpaired_members",
        "repeated_keys",
        "notes",
    ),
    *("narrow_range", "relabelled", "ignored_formats", "unread_pictures", "hidden", "excluded", "decode_processes"),
    *(
        "pixels",
        "pixels_from",
        "pixels_stated",
        "first_of_several",
        "colour_profiles",
        "converted_profiles",
        "unusable_profiles",
        "white_by_transparency",
    ),
    *("removed_folders", "kept_folders"),
}


def test_document(whole):
    """The document has counts, times, engine and backbone of the run."""
    out, document = whole
    assert set(document) == KEYS
    assert set(document["stages"]) == set(document["cpu_seconds"]) == {"read", "decode", "infer", "write"}
    assert document["bound_by"] in document["stages"]
    counts = ("images", "embedded", "unchanged", "removed", "failed", "ignored", "left", "rows", "dim", "renamed")
    assert [document[name] for name in counts] == [24, 24, 0, 0, 0, 0, 0, 24, 16, 0]
    names = ("backbone", "engine", "precision", "out")
    assert [document[name] for name in names] == ["tiny", "tensorflow", "float32", str(out)]
    assert document["failures"] == {}
    assert document["images_per_second"] == pytest.approx(24 / document["seconds"], rel=0.05)
    assert json.loads(json.dumps(document)) == document


def test_progress(folder, embed, out):
    """Progress is called at once and after each batch with images done and to do, failures included."""
    (folder / "c.jpg").write_text("text")
    calls = []
    embed(folder, out, progress=lambda *counts: calls.append(counts))
    assert calls == [(0, 10), (2, 10), (4, 10), (6, 10), (8, 10), (10, 10)]


def test_failures_are_counted_by_reason(folder, embed, out):
    """The document counts the failures of this run and of earlier ones that still hold, by reason."""
    for name, content in {"a": b"text", "b": b"text", "c": b""}.items():
        (folder / f"{name}.jpg").write_bytes(content)
    for _ in range(2):
        document = embed(folder, out)
        assert document["failures"] == {"not an image": 2, "empty": 1}
        assert (document["failed"], document["rows"]) == (3, 7)


def test_left(folder, embed, out):
    """`left` counts the images that --limit leaves for another run; a failure is not left."""
    (folder / "b.jpg").write_text("text")
    assert [embed(folder, out, limit=4)["left"] for _ in range(3)] == [6, 2, 0]


def test_labels(folder, embed, out):
    """With a file of labels the document counts images without a label, and labels without an image."""
    labels = out.with_name("labels.csv")
    labels.write_text("id,label\na.jpg,x\nb.jpg,\nghost.jpg,y\n,z\n")
    documents = [embed(folder, out, labels=one) for one in (str(labels), "none")]
    assert [(one["unlabelled"], one["unmatched_labels"]) for one in documents] == [(9, 1), (10, None)]


def test_seconds(folder, embed, out):
    """The waits for all stages are within the run's seconds, and reading starts after the job."""
    document = embed(folder, out)
    assert sum(document["stages"].values()) <= document["seconds"] + 0.05
    assert document["startup_seconds"] > 0
