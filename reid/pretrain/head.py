"""The head of self-distillation: how much a token resembles each of K learned prototypes."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.pretrain.recipe import HeadRecipe


class Prototypes(nn.Module):
    """A linear layer without bias whose rows are a direction and a length learned apart.

    The two parameters have the names of published training files.

    Args:
        count: Prototypes K.
        frozen_gain: All lengths stay 1.
    """

    def __init__(self, width: int, count: int, *, frozen_gain: bool) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(count, 1), requires_grad=not frozen_gain)
        self.weight_v = nn.Parameter(torch.empty(count, width))
        nn.init.trunc_normal_(self.weight_v, std=0.02)

    def forward(self, vectors: Tensor) -> Tensor:
        """Turn [..., width] into logits [..., K]."""
        directions = self.weight_v / self.weight_v.norm(dim=1, keepdim=True)
        return F.linear(vectors, self.weight_g * directions)


class ProjectionHead(nn.Module):
    """Linear layers down to a vector of length 1, and its logits for the prototypes.

    Class token and patches share all layers, and with `recipe.shared` the prototypes too.
    """

    def __init__(self, width: int, recipe: HeadRecipe) -> None:
        super().__init__()
        inner = [recipe.hidden] * (recipe.layers - 1)
        layers: list[nn.Module] = []
        for source, target in pairwise([width, *inner, recipe.bottleneck]):
            linear = nn.Linear(source, target)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.GELU()]
        self.mlp = nn.Sequential(*layers[:-1])
        size, frozen = recipe.bottleneck, recipe.frozen_gain
        self.last_layer = Prototypes(size, recipe.prototypes, frozen_gain=frozen)
        self.last_layer2: Prototypes | None = None
        if not recipe.shared:
            self.last_layer2 = Prototypes(size, recipe.prototypes, frozen_gain=frozen)

    def vectors(self, tokens: Tensor) -> Tensor:
        """Turn tokens [..., D] into vectors of length 1, [..., bottleneck]."""
        return F.normalize(self.mlp(tokens), dim=-1)

    def class_logits(self, vectors: Tensor) -> Tensor:
        """Turn the vectors of class tokens, [..., bottleneck], into logits [..., K]."""
        return self.last_layer(vectors)  # type: ignore[no-any-return]

    def patch_logits(self, vectors: Tensor) -> Tensor:
        """Turn the vectors of patches, [..., bottleneck], into logits [..., K]."""
        return (self.last_layer2 or self.last_layer)(vectors)  # type: ignore[no-any-return]
