"""The distillation loss: match, Gram and contrastive terms."""

import torch
from torch.nn import functional

_GRAM = 1.0
_CONTRAST = 0.3
_TEMPERATURE = 0.07


def distillation_loss(embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Compare a batch with its targets.

    Args:
        embeddings: float32 [B, D].
        targets: float32 [B, D], of unit length.

    Returns:
        1 - cosine, averaged; plus the squared difference of the two matrices of cosines between images (the Gram
        term: neighbours stay neighbours), in units of the targets' own spread; plus the cross-entropy of finding
        each image's own target among the batch's (after van den Oord et al., 2018).
    """
    unit = functional.normalize(embeddings)
    cosines = unit @ targets.T
    match = 1 - cosines.diagonal().mean()
    similarities = targets @ targets.T
    gram = (unit @ unit.T - similarities).square().mean() / similarities.square().mean()
    contrast = functional.cross_entropy(cosines / _TEMPERATURE, torch.arange(len(unit)))
    return match + _GRAM * gram + _CONTRAST * contrast
