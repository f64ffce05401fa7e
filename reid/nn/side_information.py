"""Side information embedding: a learned vector per camera and view (arXiv 2102.04378, 3.3)."""

import torch
from torch import Tensor, nn

from reid.errors import DataError


class SideInformation(nn.Module):
    """A table of vectors that is added to all tokens of an image.

    A kind of which the training data hold at most one is off. An image whose camera or view is
    unknown (-1, for example a camera that training never saw) gets the zero vector: its tokens
    stay as they are, because no row of the table speaks for it.

    Args:
        cameras: Cameras in the table, 1 if off.
        views: Views in the table, 1 if off.
        weight: Factor of the vectors, written λ in the paper.
    """

    def __init__(self, cameras: int, views: int, width: int, weight: float) -> None:
        super().__init__()
        self.cameras = cameras
        self.views = views
        self.weight = weight
        self.table = nn.Parameter(torch.empty(cameras * views, 1, width))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, cameras: Tensor, views: Tensor) -> Tensor:
        """Return λ · row, [B, 1, D], where row = camera · number of views + view.

        Raises:
            DataError: An id lies beyond the table.
        """
        rows = torch.zeros_like(cameras)
        known = torch.ones_like(cameras, dtype=torch.bool)
        for kind, ids, count in (("camera", cameras, self.cameras), ("view", views, self.views)):
            if count > 1:
                check_ids(kind, ids, count)
                rows = rows * count + ids.clamp_min(0)
                known &= ids >= 0
        return self.weight * self.table[rows] * known.view(-1, 1, 1)


def check_ids(kind: str, ids: Tensor, count: int) -> None:
    """Refuse camera or view ids [B] that a table of `count` rows has no row for, -1 excepted."""
    low, high = (int(bound) for bound in torch.aminmax(ids))
    if low < -1 or high >= count:
        raise DataError(
            f"{kind} id {high if high >= count else low}",
            f"0 to {count - 1}, as the network has a table of {count} {kind}s, or -1 for unknown",
            f"Number the {kind}s as in training and give every other {kind} the id -1.",
        )
