"""The loss, compared with NumPy."""

import numpy as np
import pytest

pytestmark = pytest.mark.slow  # PyTorch comes with the extra `distill` only


def expected_loss(embeddings, targets):
    """Compute the loss of the docstring: match, Gram term and contrast."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines, expected = unit @ targets.T, targets @ targets.T
    gram = np.mean((unit @ unit.T - expected) ** 2) / np.mean(expected**2)
    logits = cosines / 0.07
    contrast = np.mean(np.log(np.exp(logits).sum(axis=1)) - logits.diagonal())
    return 1 - cosines.diagonal().mean() + gram + 0.3 * contrast


def loss_of(embeddings, targets):
    """Compute the loss of two arrays."""
    torch = pytest.importorskip("torch")
    from tools.distill.loss import distillation_loss

    return float(distillation_loss(torch.from_numpy(embeddings), torch.from_numpy(targets)))


@pytest.fixture
def targets():
    """Eight targets of unit length."""
    rows = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_agrees_with_numpy(targets):
    """The loss is the sum of its three terms, whatever the embeddings' lengths."""
    embeddings = targets + np.random.default_rng(1).normal(scale=0.3, size=targets.shape).astype(np.float32)
    assert loss_of(3 * embeddings, targets) == pytest.approx(expected_loss(embeddings, targets), rel=1e-5)


def test_least_at_the_targets(targets):
    """An embedding that is its target costs less than one that is another image's."""
    assert loss_of(targets, targets) < loss_of(targets[::-1].copy(), targets)
