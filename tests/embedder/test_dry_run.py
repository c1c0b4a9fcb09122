import os
import shutil

import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder import BackboneRequest, JobOptions, estimate_source
from frieze.features import VectorOptions, import_vectors


@pytest.fixture
def estimate(tiny):
    """`estimate(source, out, backbone=, **options)`: the document of a dry run."""

    def run(source, out, backbone=tiny, **options):
        request = BackboneRequest(handle=str(backbone))
        return estimate_source(str(source), out, request=request, options=JobOptions(**options))

    return run


def test_new_table(folder, out, estimate):
    """For a new table it estimates images, bytes and seconds, and writes nothing."""
    document = estimate(folder, out)
    names = ("images", "to_embed", "unchanged", "removed", "ignored", "unlabelled", "unmatched_labels", "dim", "bytes")
    assert [document[name] for name in names] == [10, 10, 0, 0, 0, 10, None, 16, 10 * (64 + 100)]
    assert document["seconds"] == pytest.approx(10 / document["images_per_second"], abs=0.1)
    assert document["free_bytes"] > 0
    assert list(out.parent.iterdir()) == [folder]


def test_progress(folder, out, tiny, embed, monkeypatch):
    """Progress is that of a run: images listed so far while a large source is listed, then images to do."""
    monkeypatch.setattr("frieze.embedder.sources.listing._BATCH_ROWS", 4)
    calls, request = [], BackboneRequest(handle=str(tiny))
    note = lambda *counts: calls.append(counts)  # noqa: E731
    estimate_source(str(folder), out, request=request, options=JobOptions(), progress=note)
    assert calls == [(4, 0), (8, 0), (0, 10)]
    calls.clear()
    embed(folder, out, progress=note)
    assert calls[:3] == [(4, 0), (8, 0), (0, 10)]


def test_changed_source(folder, write_photos, embed, out, estimate):
    """For an existing table it counts images to embed, unchanged ones and removed ones."""
    embed(folder, out)
    (folder / "a.jpg").unlink()
    os.utime(folder / "b.jpg", ns=(1, 1))
    write_photos(folder, ["n.jpg"], first_seed=50)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    document = estimate(folder, out)
    assert [document[name] for name in ("images", "to_embed", "unchanged", "removed")] == [10, 2, 8, 1]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_deleted_and_broken_parts(folder, embed, out, estimate):
    """Images of missing or broken parts are counted as a run counts them, and nothing is deleted."""
    embed(folder, out)
    parts = sorted((out / "parts").iterdir())
    parts[0].unlink()
    os.truncate(parts[1], 100)
    document = estimate(folder, out)
    assert [document[name] for name in ("to_embed", "unchanged", "removed")] == [8, 2, 0]
    assert parts[1].exists()


def test_nothing_to_do(folder, embed, out, estimate, monkeypatch):
    """With nothing to embed no backbone is opened."""
    embed(folder, out)
    monkeypatch.setattr("frieze.embedder.dry_run.open_backbone", lambda _: pytest.fail("it was opened"))
    document = estimate(folder, out)
    assert (document["to_embed"], document["seconds"], document["bytes"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("option", "to_embed"), [({"limit": 3}, 3), ({"force": True}, 10), ({"retry_failures": True}, 1)]
)
def test_options(option, to_embed, folder, embed, out, estimate):
    """Options change the estimate as they change a run."""
    (folder / "c.jpg").write_text("text")
    if "limit" not in option:
        embed(folder, out)
    assert estimate(folder, out, **option)["to_embed"] == to_embed


def refusal(call, *args, **options):
    """Return message and hint of the error that a call raises."""
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize("other", ["net", "other"])
def test_another_backbone(other, folder, save_tiny, embed, estimate, out):
    """A table of another backbone, even of one replaced under its path, raises the error of a run."""
    backbone = save_tiny(out.with_name("net"), seed=2)
    embed(folder, out, backbone=backbone)
    shutil.rmtree(backbone)
    backbone = save_tiny(out.with_name(other), seed=1)
    error = refusal(estimate, folder, out, backbone=backbone)
    assert (error, "fingerprint" in error[0]) == (refusal(embed, folder, out, backbone=backbone), True)


def test_another_source(folder, embed, estimate, out):
    """A table of another source raises the error of a run."""
    embed(folder, out)
    error = refusal(estimate, folder / "a.jpg", out)
    assert (error, f"was made from {folder}, not" in error[0]) == (refusal(embed, folder / "a.jpg", out), True)


def test_an_import(folder, embed, estimate, out, tmp_path):
    """A table of imported vectors raises the error of a run."""
    np.save(tmp_path / "v.npy", np.eye(3))
    import_vectors(tmp_path / "v.npy", out, options=VectorOptions())
    assert refusal(estimate, folder, out) == refusal(embed, folder, out)


def test_force_spares_others(folder, embed, estimate, out):
    """A folder that --force would not replace is refused."""
    embed(folder, out)
    (out / "thesis.txt").write_text("text")
    error = refusal(estimate, folder, out, force=True)
    assert (error, "thesis.txt is no part of a table" in error[0]) == (refusal(embed, folder, out, force=True), True)


@pytest.mark.parametrize("force", [False, True])
def test_retry_without_a_table(force, folder, embed, estimate, out):
    """Without a table, or with --force, there are no failures to retry."""
    if force:
        embed(folder, out)
    options = {"retry_failures": True, "force": force}
    error = refusal(estimate, folder, out, **options)
    assert (error, error[1][:5]) == (refusal(embed, folder, out, **options), "Leave")
    assert out.exists() == force


def test_invalid_options(folder, out, estimate):
    """Options that a run refuses are refused."""
    (out / "other").mkdir(parents=True)
    with pytest.raises(InputError, match="is not a table of features"):
        estimate(folder, out)
