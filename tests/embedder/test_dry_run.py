import os
import shutil

import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder import BackboneRequest, JobOptions, estimate_source
from frieze.features import VectorOptions, import_vectors


@pytest.fixture
def estimate(tiny):
    """`estimate(source, out, backbone=, **options)`: what a run would do."""

    def run(source, out, backbone=tiny, **options):
        request = BackboneRequest(handle=str(backbone))
        return estimate_source(str(source), out, request=request, options=JobOptions(**options))

    return run


def test_new_table(folder, out, estimate):
    """Of a new table it tells images, bytes and seconds, and writes nothing."""
    document = estimate(folder, out)
    names = ("images", "to_embed", "unchanged", "removed", "ignored", "unlabelled", "unmatched_labels", "dim", "bytes")
    assert [document[name] for name in names] == [10, 10, 0, 0, 0, 10, None, 16, 10 * (64 + 100)]
    assert document["seconds"] == pytest.approx(10 / document["images_per_second"], abs=0.1)
    assert document["free_bytes"] > 0
    assert list(out.parent.iterdir()) == [folder]


def test_progress(folder, out, tiny, embed, monkeypatch):
    """While a large source is listed it tells how many images are found, as a run does; then what there is to do."""
    monkeypatch.setattr("frieze.embedder.sources.listing._BATCH_ROWS", 4)
    told, request = [], BackboneRequest(handle=str(tiny))
    note = lambda *counts: told.append(counts)  # noqa: E731
    estimate_source(str(folder), out, request=request, options=JobOptions(), progress=note)
    assert told == [(4, 0), (8, 0), (0, 10)]
    told.clear()
    embed(folder, out, progress=note)
    assert told[:3] == [(4, 0), (8, 0), (0, 10)]


def test_changed_source(folder, write_photos, embed, out, estimate):
    """Of a table that is there it counts what is new or changed, stays, and goes."""
    embed(folder, out)
    (folder / "a.jpg").unlink()
    os.utime(folder / "b.jpg", ns=(1, 1))
    write_photos(folder, ["n.jpg"], first_seed=50)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    document = estimate(folder, out)
    assert [document[name] for name in ("images", "to_embed", "unchanged", "removed")] == [10, 2, 8, 1]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_deleted_and_broken_parts(folder, embed, out, estimate):
    """Of a table that lost parts, their images are counted as the run will count them, and nothing is deleted."""
    embed(folder, out)
    parts = sorted((out / "parts").iterdir())
    parts[0].unlink()
    os.truncate(parts[1], 100)
    document = estimate(folder, out)
    assert [document[name] for name in ("to_embed", "unchanged", "removed")] == [8, 2, 0]
    assert parts[1].exists()


def test_nothing_to_do(folder, embed, out, estimate, monkeypatch):
    """Where nothing is to be embedded no backbone is opened."""
    embed(folder, out)
    monkeypatch.setattr("frieze.embedder.dry_run.open_backbone", lambda _: pytest.fail("it was opened"))
    document = estimate(folder, out)
    assert (document["to_embed"], document["seconds"], document["bytes"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("option", "to_embed"), [({"limit": 3}, 3), ({"force": True}, 10), ({"retry_failures": True}, 1)]
)
def test_options(option, to_embed, folder, embed, out, estimate):
    """It heeds what the run would heed."""
    (folder / "c.jpg").write_text("text")
    if "limit" not in option:
        embed(folder, out)
    assert estimate(folder, out, **option)["to_embed"] == to_embed


def refusal(call, *args, **options):
    """Give what a call is refused with."""
    with pytest.raises(InputError) as caught:
        call(*args, **options)
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize("other", ["net", "other"])
def test_another_backbone(other, folder, save_tiny, embed, estimate, out):
    """A table of another backbone, also of one exchanged under its path, is refused in the words of the run."""
    backbone = save_tiny(out.with_name("net"), seed=2)
    embed(folder, out, backbone=backbone)
    shutil.rmtree(backbone)
    backbone = save_tiny(out.with_name(other), seed=1)
    told = refusal(estimate, folder, out, backbone=backbone)
    assert (told, "fingerprint" in told[0]) == (refusal(embed, folder, out, backbone=backbone), True)


def test_another_source(folder, embed, estimate, out):
    """So is a table of another source."""
    embed(folder, out)
    told = refusal(estimate, folder / "a.jpg", out)
    assert (told, f"was made from {folder}, not" in told[0]) == (refusal(embed, folder / "a.jpg", out), True)


def test_an_import(folder, embed, estimate, out, tmp_path):
    """So is a table of vectors made elsewhere."""
    np.save(tmp_path / "v.npy", np.eye(3))
    import_vectors(tmp_path / "v.npy", out, options=VectorOptions())
    assert refusal(estimate, folder, out) == refusal(embed, folder, out)


def test_force_spares_others(folder, embed, estimate, out):
    """A folder that --force would not replace is refused."""
    embed(folder, out)
    (out / "thesis.txt").write_text("text")
    told = refusal(estimate, folder, out, force=True)
    assert (told, "thesis.txt is no part of a table" in told[0]) == (refusal(embed, folder, out, force=True), True)


@pytest.mark.parametrize("force", [False, True])
def test_retry_without_a_table(force, folder, embed, estimate, out):
    """Where there is no table to go on with, or it would be made anew, no failure can be tried again."""
    if force:
        embed(folder, out)
    options = {"retry_failures": True, "force": force}
    told = refusal(estimate, folder, out, **options)
    assert (told, told[1][:5]) == (refusal(embed, folder, out, **options), "Leave")
    assert out.exists() == force


def test_what_is_wrong_is_told(folder, out, estimate):
    """What the run would refuse is refused."""
    (out / "other").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no features"):
        estimate(folder, out)
