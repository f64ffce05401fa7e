"""Several class tokens spread evenly among the patches (Mamba-R, arXiv 2405.14858, section 3)."""

import torch
from torch import Tensor, nn


def class_positions(patches: int, tokens: int) -> list[int]:
    """Return where the class tokens stand in the joint sequence, counted from 0.

    Before each of them there are as many patches, and after the last all that remain.
    """
    run = patches // (tokens + 1)
    return [(k + 1) * run + k for k in range(tokens)]


class ClassTokenPlaces(nn.Module):
    """Where the class tokens and the patches stand, as index vectors beside the weights.

    The buffers follow the network to its device and are in no state dict.

    Attributes:
        order: [N + n] which of [patches, class tokens] comes at each position.
        class_places: [n] positions of the class tokens.
        patch_places: [N] positions of the patches.
    """

    order: Tensor
    class_places: Tensor
    patch_places: Tensor

    def __init__(self, patches: int, tokens: int) -> None:
        super().__init__()
        classes = class_positions(patches, tokens)
        taken = set(classes)
        others = [place for place in range(patches + tokens) if place not in taken]
        order = [0] * (patches + tokens)
        for number, place in enumerate([*others, *classes]):
            order[place] = number
        for name, values in (
            ("order", order),
            ("class_places", classes),
            ("patch_places", others),
        ):
            self.register_buffer(name, torch.tensor(values), persistent=False)

    def join(self, patches: Tensor, classes: Tensor) -> Tensor:
        """Turn [B, N, D] and [B, n, D] into one sequence [B, N + n, D]."""
        return torch.cat([patches, classes], dim=1).index_select(1, self.order)

    def patches(self, tokens: Tensor) -> Tensor:
        """Return the [B, N, D] patches of a sequence."""
        return tokens.index_select(1, self.patch_places)

    def classes(self, tokens: Tensor) -> Tensor:
        """Return the [B, n, D] class tokens of a sequence."""
        return tokens.index_select(1, self.class_places)
