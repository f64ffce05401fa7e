"""Supervised contrast between two modalities (the loss of arXiv 2004.11362, section 3.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_modal_contrast(
    features: Tensor, labels: Tensor, modalities: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Let every image find its person among the others, by cosine and in one modality at a time.

    Differs from the paper: images of the other modality and those of the own one are no rivals of
    each other, for the own one would always win.

    Args:
        features: [B, D].
        labels: [B] person classes.
        modalities: [B] 0 visible, 1 infrared.
        temperature: Divides the cosines.

    Returns:
        The mean over the images of minus the mean log probability of their matches, across the
        modalities and within them. An image without a match does not count; without any it is 0.
    """
    unit = F.normalize(features, dim=1)
    logits = unit @ unit.T / temperature
    same_person = labels[:, None] == labels[None, :]
    same_modality = modalities[:, None] == modalities[None, :]
    own = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return (
        _contrast(logits, ~same_modality, same_person),
        _contrast(logits, same_modality & ~own, same_person),
    )


def _contrast(logits: Tensor, rivals: Tensor, same_person: Tensor) -> Tensor:
    """Return the loss of [B, B] logits among the marked ones."""
    least = torch.finfo(logits.dtype).min  # minus infinity in a whole row would give no number
    logs = logits.masked_fill(~rivals, least).log_softmax(dim=1)
    matches = rivals & same_person
    counts = matches.sum(dim=1)
    chosen = counts > 0
    means = logs.masked_fill(~matches, 0).sum(dim=1) / counts.clamp_min(1)
    return -means[chosen].sum() / chosen.sum().clamp_min(1)
