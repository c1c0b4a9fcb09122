"""A bug in any stage ends a run with its own error. As a script, this file runs one whose stage raises."""

import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from frieze.embedder import BackboneRequest, JobOptions, embed_source
from frieze.features import open_features

STAGES = {
    "read": "frieze.embedder.sources.files.read_uri",
    "decode": "frieze.embedder.images.prepare.prepare",
    "embed": "frieze.embedder.job.inference._submit",
    "write": "frieze.embedder.job.shard_writer.commit",
}
"""Stage -> a function that it calls, in its thread if it has one."""
N_IMAGES, LIMIT_S = 120, 120


def raise_at(patch, stage, at):
    """Make a stage raise at its call of that number, or at that first argument; return the calls so far."""
    module, _, name = STAGES[stage].rpartition(".")
    calls, function = [], getattr(sys.modules[module], name)

    def raising(*args, **options):
        calls.append(1)
        if at in (len(calls), args[0]):
            raise LookupError(f"a bug in {stage}")
        return function(*args, **options)

    patch.setattr(STAGES[stage], raising)
    return calls


def has_frames_of_tensorflow(error):
    """Return whether a traceback holds frames of TensorFlow's own files."""
    files = [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any("tensorflow" in file.parts for file in files)


@pytest.mark.parametrize("stage", STAGES)
def test_raises_what_went_wrong(stage, folder, embed, out, monkeypatch):
    """The error of a stage reaches the caller unchanged, and no frame of its traceback keeps the pipeline open."""
    raise_at(monkeypatch, stage, 2)
    with pytest.raises(LookupError, match=f"a bug in {stage}") as caught:
        embed(folder, out)
    assert not has_frames_of_tensorflow(caught.value)


@pytest.mark.parametrize("stage", STAGES)
def test_resumes(stage, folder, embed, out, monkeypatch):
    """After an error in a later shard the earlier ones are kept, and the next run resumes with the rest."""
    ninth = folder / "i.jpg"  # threads may come to it in any order
    with monkeypatch.context() as patch:
        raise_at(patch, stage, {"read": str(ninth), "decode": ninth.read_bytes(), "embed": 5, "write": 2}[stage])
        with pytest.raises(LookupError):
            embed(folder, out)
    n_stored = len(open_features(out))
    assert n_stored >= 2  # how far ahead the engine is depends on the machine
    document = embed(folder, out)
    assert (document["unchanged"], document["embedded"], document["rows"]) == (n_stored, 10 - n_stored, 10)


def test_ctrl_c_while_waiting(folder, embed, out, monkeypatch):
    """Ctrl-C while the run waits for the pipeline leaves nothing that blocks the interpreter's exit."""
    from tensorflow.python.data.ops import iterator_ops

    def interrupt(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(iterator_ops.OwnedIterator, "_next_internal", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        embed(folder, out)
    assert not has_frames_of_tensorflow(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, N_IMAGES // 2])
@pytest.mark.parametrize("stage", STAGES)
def test_ends(stage, at, write_photos, tiny, tmp_path):
    """A process whose stage raises prints the error, and exits."""
    photos = write_photos(tmp_path / "photos", [f"{number}.jpg" for number in range(N_IMAGES)])
    command = [sys.executable, __file__, stage, str(at), photos, tiny, tmp_path / "out"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr.strip().endswith(f"LookupError: a bug in {stage}")


if __name__ == "__main__":
    stage, at, photos, tiny, out = sys.argv[1:]
    at = int(at) if stage in ("read", "decode") else 1 + (int(at) > 1)
    raise_at(pytest.MonkeyPatch(), stage, at)
    options = JobOptions(shard_size=40, batch_size=8, workers=2, engine="tensorflow")
    embed_source(photos, Path(out), request=BackboneRequest(handle=tiny), options=options)
