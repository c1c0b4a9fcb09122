"""Runs over an existing table: resume, limits, changed and removed images, retries, --force."""

import errno
import os
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError, MismatchError
from frieze.embedder import Limits, SourceOptions
from frieze.embedder.engines.tensorflow import TensorFlowEngine
from frieze.features import open_features, read_failures, read_manifest


def stored(out):
    """Return id -> embedding of a table, in reading order."""
    features = open_features(out)
    return dict(zip(features.ids, features.embeddings(), strict=True))


def failures(out):
    """Return id -> (stage, reason) of a table's failures."""
    return {row["id"]: (row["stage"], row["reason"]) for row in read_failures(out).to_pylist()}


def parts(out):
    """Return each part's ids, in order."""
    return [pq.read_table(part)["id"].to_pylist() for part in sorted((out / "parts").iterdir())]


def written(out):
    """Return name -> inode and time of each part, which change when it is rewritten."""
    return {part.name: (part.stat().st_ino, part.stat().st_mtime_ns) for part in (out / "parts").iterdir()}


def same(some, others):
    """Check that two tables hold the same ids in the same order, with the same vectors."""
    return list(some) == list(others) and all(np.abs(some[name] - others[name]).max() < 1e-4 for name in some)


def touch(path, content=None):
    """Change a file, with another size or time."""
    if content is not None:
        path.write_bytes(content)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**9))


def break_off(monkeypatch, at, error):
    """Make the engine raise at batch number `at`; the warm-up is number 0."""
    infer, n_calls = TensorFlowEngine.infer_on, []

    def breaking(engine, device, pixels):
        n_calls.append(1)
        if len(n_calls) > at:
            raise error
        return infer(engine, device, pixels)

    monkeypatch.setattr(TensorFlowEngine, "infer_on", breaking)


def test_nothing_to_do(whole, gallery, embed, monkeypatch, out):
    """A run with nothing to do opens no backbone and writes no part."""
    shutil.copytree(whole[0], out)
    before = written(out)
    monkeypatch.setattr("frieze.embedder.embed.open_backbone", lambda _: pytest.fail("it was opened"))
    document = embed(gallery, out)
    assert [document[name] for name in ("embedded", "unchanged", "rows")] == [0, 24, 24]
    assert (document["seconds"], document["images_per_second"], set(document)) == (0, 0, set(whole[1]))
    assert (written(out), same(stored(out), stored(whole[0]))) == (before, True)


def test_nothing_to_do_imports_no_tensorflow(whole, gallery, tiny):
    """A run with nothing to do does not import TensorFlow."""
    code = (
        "import sys; from pathlib import Path; from frieze.embedder import BackboneRequest, JobOptions, embed_source\n"
        "source, out, tiny = sys.argv[1:]\n"
        "request = BackboneRequest(handle=tiny)\n"
        "document = embed_source(source, Path(out), request=request, options=JobOptions())\n"
        "print(document['unchanged'], {'tensorflow', 'keras', 'tensorflow_hub'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code, gallery, whole[0], tiny]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("24 set()\n", "")


def test_limit(whole, gallery, embed, infers, out):
    """`limit` runs resume one another, and together make the table of one run."""
    assert [embed(gallery, out, limit=limit)["embedded"] for limit in (5, 8, None)] == [5, 8, 11]
    assert sum(infers) == 24 + 3  # a warm-up a run
    assert same(stored(out), stored(whole[0]))


@pytest.mark.parametrize("error", [RuntimeError("the engine broke"), KeyboardInterrupt()])
def test_cut_short(error, whole, gallery, embed, infers, out):
    """An interrupted run keeps what it finished; the next one resumes, and the table is the same."""
    with pytest.MonkeyPatch.context() as patch:
        break_off(patch, 8, error)
        with pytest.raises(type(error)):
            embed(gallery, out)
    assert len(stored(out)) == 14
    assert (infers.clear(), embed(gallery, out)["embedded"], sum(infers[1:]))[1:] == (10, 10)
    assert same(stored(out), stored(whole[0]))


def test_ctrl_c(folder, embed, out):
    """Ctrl-C during a progress call loses no embedded image."""

    def interrupt(n_done, _):
        if n_done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(folder, out, progress=interrupt)
    assert list(stored(out)) == [f"{name}.jpg" for name in "abcdef"]
    assert embed(folder, out)["embedded"] == 4


def test_a_file_that_sorts_first(folder, write_photos, embed, infers, out):
    """A new first file in a half-done folder causes no stored image to be embedded again."""
    embed(folder, out, limit=6)
    before = written(out)
    write_photos(folder, ["A.jpg"], first_seed=50)
    infers.clear()
    document = embed(folder, out)
    assert (document["embedded"], document["unchanged"], sum(infers[1:])) == (5, 6, 5)
    assert before.items() <= written(out).items()
    assert sorted(stored(out)) == ["A.jpg", *(f"{name}.jpg" for name in "abcdefghij")]


def test_changed_file(folder, photo, embed, plain_loop, infers, out):
    """A changed image is embedded again in its own part; the other parts are not rewritten."""
    embed(folder, out)
    before = written(out)
    photo(99).save(folder / "f.jpg", quality=95)
    infers.clear()
    document = embed(folder, out)
    assert (document["embedded"], document["unchanged"], sum(infers[1:])) == (1, 9, 1)
    assert {name for name, file in written(out).items() if file != before[name]} == {"part-000001.parquet"}
    assert sorted(parts(out)[1]) == ["e.jpg", "f.jpg", "g.jpg", "h.jpg"]
    assert np.abs(stored(out)["f.jpg"] - plain_loop([folder / "f.jpg"])[0]).max() < 0.05


def test_removed_file(folder, embed, out, monkeypatch):
    """A removed image leaves its part, without any backbone."""
    embed(folder, out)
    before = written(out)
    (folder / "f.jpg").unlink()
    monkeypatch.setattr("frieze.embedder.embed.open_backbone", lambda _: pytest.fail("it was opened"))
    document = embed(folder, out)
    assert (document["removed"], document["unchanged"], document["rows"]) == (1, 9, 9)
    assert {name for name, file in written(out).items() if file != before[name]} == {"part-000001.parquet"}
    assert "f.jpg" not in stored(out)


def test_known_failures(folder, embed, infers, out):
    """A failure is not retried until its file changes."""
    good = (folder / "c.jpg").read_bytes()
    (folder / "c.jpg").write_text("text")
    embed(folder, out)
    infers.clear()
    assert (embed(folder, out)["failed"], infers) == (1, [])
    touch(folder / "c.jpg", good)
    document = embed(folder, out)
    assert (document["embedded"], document["failed"], failures(out)) == (1, 0, {})


def test_retry_failures(folder, write_photos, embed, out):
    """--retry-failures embeds the earlier failures, and nothing else."""
    path = folder / "c.jpg"
    good, times = path.read_bytes(), (0, path.stat().st_mtime_ns)
    path.write_bytes(b"x" * len(good))
    os.utime(path, ns=times)
    embed(folder, out)
    path.write_bytes(good)
    os.utime(path, ns=times)
    write_photos(folder, ["new.jpg"])
    assert embed(folder, out, retry_failures=True)["embedded"] == 1
    assert ("c.jpg" in stored(out), "new.jpg" in stored(out), failures(out)) == (True, False, {})


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"max_pixels": 100}, {"max_pixels": 10_000}),
        ({"max_bytes": 100}, {}),
        ({}, {"accept_truncated": True}),
    ],
    ids=["max_pixels", "max_bytes", "accept_truncated"],
)
def test_retry_with_wider_limits(before, now, folder, embed, out):
    """--retry-failures with a wider limit embeds what failed for the narrower one."""
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[: -100 if now.get("accept_truncated") else None])
    assert embed(folder, out, **_limited(before))["failed"] == 10
    document = embed(folder, out, retry_failures=True, **_limited(now))
    assert [document[name] for name in ("embedded", "failed", "left", "rows")] == [10, 0, 0, 10]
    assert failures(out) == {}


def test_retry_of_some_with_wider_limits(folder, embed, out):
    """Images that a limited retry with wider limits did not reach are left for the next plain run."""
    embed(folder, out, **_limited({"max_pixels": 100}))
    assert embed(folder, out, retry_failures=True, limit=3, **_limited({}))["embedded"] == 3
    assert failures(out) == {}
    assert embed(folder, out)["embedded"] == 7


def _limited(limits):
    return {"limits": Limits(**limits), "source": SourceOptions(max_bytes=Limits(**limits).max_bytes)}


def test_a_read_error_passes(folder, embed, lock, out):
    """The next plain run retries images that could not be read, and not damaged ones."""
    (folder / "d.jpg").write_bytes(b"text")
    path, tried = folder / "c.jpg", set()
    mode = path.stat().st_mode
    lock(path)
    embed(folder, out)
    document = embed(folder, out, progress=lambda _, n_pending: tried.add(n_pending))
    assert (document["failures"], tried) == ({"not an image": 1, "unreadable": 1}, {1})
    path.chmod(mode)
    document = embed(folder, out)
    assert (document["embedded"], document["failures"]) == (1, {"not an image": 1})


@pytest.mark.parametrize("is_link", [True, False])
def test_retry_what_was_mended(is_link, folder, embed, out):
    """--retry-failures embeds a repaired file, even one that could not be listed."""
    path = folder / "c.jpg"
    good = path.read_bytes()
    path.unlink()
    path.symlink_to("nowhere") if is_link else path.write_bytes(good[:100])
    assert embed(folder, out)["failed"] == 1
    path.unlink()
    path.write_bytes(good)
    document = embed(folder, out, retry_failures=True)
    assert [document[name] for name in ("embedded", "failed", "left")] == [1, 0, 0]
    assert "c.jpg" in stored(out)


def test_spoilt_image(folder, embed, out):
    """A stored image whose file is now damaged leaves the table and is a failure."""
    embed(folder, out)
    touch(folder / "c.jpg", b"text")
    document = embed(folder, out)
    assert (document["failed"], document["rows"]) == (1, 9)
    assert "c.jpg" not in stored(out)


def test_full_disk(folder, embed, monkeypatch, out):
    """A full disk ends the run with a hint; earlier parts stay, and the next run resumes."""
    write_table, n_calls = pq.write_table, []

    def writing(*args, **options):
        n_calls.append(1)
        if len(n_calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_table(*args, **options)

    monkeypatch.setattr(pq, "write_table", writing)
    with pytest.raises(FeatureFileError, match=r"No space left on device(?s:.)*what is stored already is kept"):
        embed(folder, out)
    assert list(stored(out)) == [f"{name}.jpg" for name in "abcd"]
    assert embed(folder, out)["embedded"] == 6


def test_another_backbone(folder, save_tiny, embed, tmp_path, out):
    """Vectors of another network never enter the table; the error names both and the command to type."""
    embed(folder, out, limit=4)
    other = save_tiny(tmp_path / "other", seed=1)
    with pytest.raises(
        MismatchError, match=r"come from other, but .* holds those of tiny .*fingerprint(?s:.)*`force=True`"
    ):
        embed(folder, out, backbone=other)
    assert len(stored(out)) == 4


def test_another_fit(folder, embed, out):
    """Vectors of the same network with another fit never enter the table, even if nothing is left to embed."""
    embed(folder, out)
    with pytest.raises(MismatchError, match="fit: crop here, squash there"):
        embed(folder, out, fit="crop")


def test_exchanged_backbone(folder, save_tiny, embed, tmp_path, out):
    """A network that was replaced under its path is refused, even if nothing is left to embed."""
    path = save_tiny(tmp_path / "net")
    embed(folder, out, backbone=path)
    shutil.rmtree(path)
    save_tiny(path, seed=1)
    with pytest.raises(MismatchError, match="fingerprint"):
        embed(folder, out, backbone=path)


def test_moved_backbone(folder, tiny, embed, tmp_path, out):
    """The same network at another path can update the table."""
    embed(folder, out, limit=4)
    moved = shutil.copytree(tiny, tmp_path / "moved")
    assert embed(folder, out, backbone=moved)["embedded"] == 6


def test_another_source(folder, write_photos, embed, tmp_path, out):
    """A table of one source is not mixed with another's images."""
    embed(folder, out)
    other = write_photos(tmp_path / "other", ["a.jpg"])
    with pytest.raises(FeatureFileError, match=rf"was made from {folder}, not from {other}(?s:.)*`force=True`"):
        embed(other, out)
    assert len(stored(out)) == 10


def test_other_labels(folder, write_photos, embed, out):
    """A run with other labels changes those of all rows, and embeds nothing again."""
    write_photos(folder, ["roses/k.jpg"])
    embed(folder, out)
    document = embed(folder, out, labels="none")
    assert (document["embedded"], document["unchanged"]) == (0, 11)
    assert open_features(out).labels.tolist() == [None] * 11
    embed(folder, out, labels="folder")
    assert open_features(out).labels.tolist() == [*[None] * 10, "roses"]


def test_force_spares_others(folder, embed, out):
    """--force replaces no folder that holds anything besides the table."""
    embed(folder, out)
    (out / "thesis.txt").write_text("text")
    with pytest.raises(FeatureFileError, match=r"thesis\.txt is no part of a table"):
        embed(folder, out, force=True)
    assert (out / "thesis.txt").read_text() == "text"


def test_force(folder, write_photos, save_tiny, embed, tmp_path, out):
    """--force makes the table anew, even with another backbone and source, and leaves no other files beside it."""
    embed(folder, out)
    other = write_photos(tmp_path / "other", ["k.jpg", "l.jpg"])
    backbone = save_tiny(tmp_path / "net", seed=1)
    document = embed(other, out, backbone=backbone, force=True)
    assert (document["embedded"], document["out"], list(stored(out))) == (2, str(out), ["k.jpg", "l.jpg"])
    assert read_manifest(out).spec.name == "net"
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "other", "net", "photos.features"}


def test_force_on_nothing(folder, embed, out):
    """--force works without a table to replace."""
    assert embed(folder, out, force=True)["embedded"] == 10


def test_force_keeps_the_old(folder, embed, infers, out):
    """The old table stays until the new one is complete; an interrupted --force resumes."""
    embed(folder, out, limit=3)
    before = written(out)
    with pytest.MonkeyPatch.context() as patch:
        break_off(patch, 4, RuntimeError("the engine broke"))
        with pytest.raises(RuntimeError):
            embed(folder, out, force=True)
    assert (written(out), len(stored(out))) == (before, 3)
    infers.clear()
    assert embed(folder, out, force=True)["unchanged"] == 6
    assert (len(stored(out)), sum(infers[1:])) == (10, 4)


@pytest.mark.parametrize("changed", ["source", "backbone"])
def test_force_after_another_force(changed, folder, write_photos, save_tiny, embed, out):
    """The remains of an interrupted --force with another source or network do not block the next one."""
    backbone = save_tiny(out.with_name("net"))
    embed(folder, out, backbone=backbone)
    with pytest.MonkeyPatch.context() as patch:
        break_off(patch, 4, RuntimeError("the engine broke"))
        with pytest.raises(RuntimeError):
            embed(folder, out, backbone=backbone, force=True)
    if changed == "source":
        folder = write_photos(out.with_name("other"), ["k.jpg"])
    else:
        save_tiny(backbone, seed=1)
    assert embed(folder, out, backbone=backbone, force=True)["unchanged"] == 0
    assert len(stored(out)) == len(list(folder.iterdir()))
