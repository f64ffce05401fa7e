"""The running means that are taken off the teacher's logits, so that no prototype takes them all.

Source: DINO (arXiv 2104.14294, section 3.1).
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Centres(nn.Module):
    """One mean of the logits of class tokens and one of patches.

    Attributes:
        cls: [1, K].
        patch: [1, K].
    """

    cls: Tensor
    patch: Tensor

    def __init__(self, prototypes: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("cls", torch.zeros(1, prototypes))
        self.register_buffer("patch", torch.zeros(1, prototypes))

    @torch.no_grad()
    def update(self, cls: Tensor, patch: Tensor | None) -> None:
        """Move towards the mean of a batch, over all processes.

        Args:
            cls: [B, K] logits of the teacher.
            patch: [B, K], the mean over each image's patches; None leaves that centre alone.
        """
        self.cls.lerp_(_mean(cls), 1 - self.momentum)
        if patch is not None:
            self.patch.lerp_(_mean(patch), 1 - self.momentum)


def _mean(logits: Tensor) -> Tensor:
    total = logits.float().mean(dim=0, keepdim=True)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(total)
        total /= dist.get_world_size()
    return total
