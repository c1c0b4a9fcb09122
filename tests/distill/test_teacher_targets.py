"""The targets, compared with NumPy on the teachers' embeddings."""

import numpy as np
import pytest

from frieze.core import unit_rows
from tools.distill.teacher_targets import Teacher, embeddings_file, make_targets

TEACHERS = [Teacher("one", 8, 1.0), Teacher("other", 8, 0.5)]


@pytest.fixture
def views(tmp_path):
    """Two views of 40 images, with the embeddings of two teachers of 12 and 6 numbers."""
    random = np.random.default_rng(0)
    views = [tmp_path / f"view-{number:03d}.npy" for number in range(2)]
    for view in views:
        for teacher, width in zip(TEACHERS, (12, 6), strict=True):
            np.save(
                embeddings_file(view, teacher), unit_rows(random.random((40, width), np.float32)).astype(np.float16)
            )
    return views


def centred(views, teacher):
    """Return a teacher's embeddings of each view, centred over all views, of unit length."""
    embeddings = np.stack([np.load(embeddings_file(view, teacher)).astype(np.float32) for view in views])
    embeddings -= embeddings.mean((0, 1))
    return embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)


def test_all_components_keep_the_cosines(views):
    """With every component kept, the cosine of two targets is the weighted mean of the teachers' centred cosines."""
    one, other = (centred(views, teacher)[1] for teacher in TEACHERS)
    targets = make_targets(views, TEACHERS, 18)[1]
    assert targets @ targets.T == pytest.approx((one @ one.T + 0.5 * (other @ other.T)) / 1.5, abs=1e-4)


def test_fewer_components(views):
    """Fewer components keep what varies most: they come nearer to the cosines than the last ones do."""
    whole = make_targets(views, TEACHERS, 18)[0]
    few = make_targets(views, TEACHERS, 9)[0]
    rest = unit_rows(np.ascontiguousarray(whole[:, 9:]))
    expected = whole @ whole.T
    assert few.shape == (40, 9)
    assert np.abs(few @ few.T - expected).mean() < np.abs(rest @ rest.T - expected).mean()


def test_unit_length(views):
    """Targets have unit length."""
    for target in make_targets(views, TEACHERS, 9):
        assert np.linalg.norm(target, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
