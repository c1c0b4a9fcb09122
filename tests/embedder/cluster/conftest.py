"""How the tables of runs on a cluster are compared."""

import numpy as np
import pytest

from frieze.features import open_features, verify_features


@pytest.fixture(scope="session")
def assert_same():
    """`assert_same(out, other)` compares two tables by id, and verifies the checksums of the first."""

    def read(path):
        features = open_features(path)
        return dict(sorted(zip(features.ids, features.embeddings(), strict=True)))

    def compare(out, other):
        ours, theirs = read(out), read(other)
        assert list(ours) == list(theirs)
        assert all(np.abs(ours[name] - theirs[name]).max() < 1e-5 for name in ours)
        assert verify_features(out)["problems"] == []

    return compare


@pytest.fixture
def assert_as_local(assert_same, local):
    """`assert_as_local(out)` compares a table with `local`, a fixture of each file: a run without a cluster."""
    return lambda out: assert_same(out, local)
