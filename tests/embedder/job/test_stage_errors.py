"""A bug in any stage ends a run with its own error. As a script, this file forks runs whose stage raises."""

import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from frieze.core import import_tensorflow
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
AT = (1, N_IMAGES // 2)


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


@pytest.fixture(scope="module")
def ended(write_photos, tiny, tmp_path_factory):
    """A folder with the exit code and stderr of each process."""
    folder = tmp_path_factory.mktemp("ended")
    photos = write_photos(folder / "photos", [f"{number}.jpg" for number in range(N_IMAGES)])
    done = subprocess.run([sys.executable, __file__, photos, tiny, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("at", AT)
@pytest.mark.parametrize("stage", STAGES)
def test_ends(stage, at, ended):
    """A process whose stage raises prints the error, and exits."""
    code, *printed = (ended / f"{stage}-{at}.ended").read_text().splitlines()
    assert (code, printed[-1]) == ("1", f"LookupError: a bug in {stage}")


def run_in_fork(stage, at, photos, tiny, folder):
    """Run in a process of its own, which ends as any Python does; write down how."""
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT_S)
        os.dup2(os.open(folder / f"{stage}-{at}.stderr", os.O_CREAT | os.O_WRONLY), 2)
        raise_at(pytest.MonkeyPatch(), stage, at if stage in ("read", "decode") else 1 + (at > 1))
        options = JobOptions(shard_size=40, batch_size=8, workers=2, engine="tensorflow")
        embed_source(photos, folder / f"{stage}-{at}", request=BackboneRequest(handle=tiny), options=options)
        sys.exit()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (folder / f"{stage}-{at}.ended").write_text(f"{code}\n{(folder / f'{stage}-{at}.stderr').read_text()}")


if __name__ == "__main__":
    import_tensorflow()  # imported, but nothing is run on it: its threads would not survive a fork
    for stage in STAGES:
        for at in AT:
            run_in_fork(stage, at, *sys.argv[1:3], Path(sys.argv[3]))
