import contextlib
import resource
import shutil

import numpy as np
import pytest

from frieze.core import FeatureFileError
from frieze.features import top_k
from frieze.indexing import KINDS, build_index, open_index
from frieze.indexing.build import build

N_STEPS = 3
OTHERS = [kind for kind in KINDS if kind != "exact"]
WRITERS = {"write_vectors": 40_000, "save": 1_000, "write_rows": 2_000, "write_document": 500}
"""What writes each of an index's files, and a number of bytes at which it is not done."""


@contextlib.contextmanager
def full_disk(writer):
    """While `writer` runs, no file can grow beyond its number of bytes."""
    real, before = getattr(build, writer), resource.getrlimit(resource.RLIMIT_FSIZE)

    def write(*args, **named):
        resource.setrlimit(resource.RLIMIT_FSIZE, (WRITERS[writer], before[1]))
        return real(*args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, writer, write)
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def collection(tmp_path, clustered, write_table):
    """`collection(step)`: the table after that many rounds of adding, removing and replacing a third of the images."""
    pool, rng = clustered(6_000), np.random.default_rng(0)
    images = {f"{row}.jpg": pool[row] for row in range(1_500)}

    def at(step):
        if step:
            names = rng.permutation(list(images))
            for name in names[:200]:
                del images[name]
            images.update({name: pool[rng.integers(len(pool))] for name in names[200:400]})
            images.update({f"{step}-{row}.jpg": pool[rng.integers(len(pool))] for row in range(150)})
        shutil.rmtree(tmp_path / "t", ignore_errors=True)
        return write_table(tmp_path / "t", np.stack(list(images.values())), names=list(images))

    return at


def recall(out, table):
    """Measure the recall of every seventh image's ten nearest; no hit may be an image of another step."""
    embeddings = table.embeddings()
    ids, scores = open_index(out).top_k(embeddings[::7], 10)
    assert set(ids.ravel()) <= set(table.ids)
    return (scores >= top_k(embeddings[::7], embeddings, k=10)[1][:, -1:] - 1e-5).mean()


@pytest.mark.parametrize("kind", ["exact", *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)])
def test_refreshes_equal_fresh_builds(kind, collection, tmp_path):
    """After changes, and a disk that is full at each file of each refresh, an index finds what a fresh one does."""
    out, before = tmp_path / "i", collection(0)
    build_index(before, out, kind=kind)
    first, queries = open_index(out), before.embeddings()[::7]
    actual = first.top_k(queries, 10)[0]
    for step in range(1, N_STEPS):
        answers = open_index(out).top_k(queries, 10)[0]
        today, generation = collection(step), open_index(out).document["generation"]
        for writer in WRITERS.keys() - ({"save"} if kind == "exact" else set()):
            with full_disk(writer), pytest.raises(FeatureFileError, match=r"can't be written: .*File too large"):
                build_index(today, out, kind=kind)
            assert open_index(out).document["generation"] == generation
            assert (open_index(out).top_k(queries, 10)[0] == answers).all()
        assert build_index(today, out, kind=kind)["changes"] == {"added": 150, "removed": 200, "replaced": 0}
        build_index(today, tmp_path / "fresh", kind=kind, force=True)
        least = max(min(recall(tmp_path / "fresh", today), 0.95) - 0.02, KINDS[kind].floor)
        assert recall(out, today) >= least - 0.01  # a hundredth is chance over some 200 queries
    assert (first.top_k(queries, 10)[0] == actual).all()
    assert [child.name.split("-")[0] for child in sorted(out.iterdir())] == [".lock", "generation", "index.json"]
