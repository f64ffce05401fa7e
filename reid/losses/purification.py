"""What purified features have to be better at (IDKL, arXiv 2403.11708, its L_e and L_r).

Each loss comes in the form of the published code and in that of the paper.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

_SHIFT = 1e-6
"""Added to every difference before its length is taken, as `torch.pairwise_distance` does."""


def certainty_loss(raw: Tensor, enhanced: Tensor, form: Literal["code", "paper"]) -> Tensor:
    """Ask enhanced features to tell the person with less doubt than raw ones.

    Args:
        raw: [B, C] logits.
        enhanced: [B, C] logits.
        form: `code`: mean of exp(max(0, H' - H)) - 1 with entropies H; `paper`: mean of
            log(1 + exp(H' - H)).
    """
    gained = entropy(enhanced) - entropy(raw)
    loss = F.relu(gained).expm1() if form == "code" else F.softplus(gained)
    return loss.mean()


def discrepancy_loss(
    normed: Tensor,
    reduced: Tensor,
    labels: Tensor,
    infrared: Tensor,
    form: Literal["code", "paper"],
) -> Tensor:
    """Ask reduced features to bring the two spectra of a person closer than normed ones.

    Args:
        normed: [B, D].
        reduced: [B, D].
        labels: [B] person classes, each seen in both spectra.
        infrared: [B] of bool.
        form: `code`: mean over people of max(0, d' - d) with distances d between the means of a
            person's spectra; `paper`: of log(1 + exp(d' - d)).
    """
    grown = spectra_apart(reduced, labels, infrared) - spectra_apart(normed, labels, infrared)
    loss = F.relu(grown) if form == "code" else F.softplus(grown)
    return loss.mean()


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy [B] in nats of the softmax of [B, C] logits."""
    logs = logits.log_softmax(dim=1)
    return -(logs.exp() * logs).sum(dim=1)


def spectra_apart(features: Tensor, labels: Tensor, infrared: Tensor) -> Tensor:
    """Return for each person, in ascending order, how far the means of the spectra are apart."""
    people, rank = torch.unique(labels, return_inverse=True)
    means = []
    for spectrum in (~infrared, infrared):
        belongs = F.one_hot(rank, len(people)).T * spectrum
        share = belongs / belongs.sum(dim=1, keepdim=True)
        means.append(share.to(features.dtype) @ features)
    apart: Tensor = torch.linalg.vector_norm(means[0] - means[1] + _SHIFT, dim=1)
    return apart
