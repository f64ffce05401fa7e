"""The two losses of a network with one feature and one batch-norm neck (arXiv 1903.07071)."""

import torch.nn.functional as F
from torch import Tensor

from reid.losses.triplet import triplet_loss
from reid.recipe import LossRecipe


def identity_triplet_loss(
    score: Tensor, features: Tensor, labels: Tensor, recipe: LossRecipe
) -> dict[str, Tensor]:
    """Return the identity and the triplet loss and, as `loss`, their weighted sum.

    Args:
        score: [B, classes] logits.
        features: [B, D] that the triplet loss sees, before the neck.
        labels: [B] person classes.
    """
    identity = F.cross_entropy(score, labels, label_smoothing=recipe.label_smoothing)
    triplet = triplet_loss(features, labels, recipe.margin)
    loss = recipe.id_weight * identity + recipe.triplet_weight * triplet
    return {"loss": loss, "identity": identity, "triplet": triplet}
