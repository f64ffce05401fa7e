"""Position embeddings learned on a square grid, brought to the grid of a person image."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.errors import CheckpointError


def fit_positions(positions: Tensor, grid: tuple[int, int], *, distilled: bool = False) -> Tensor:
    """Resample the rows of the patches bilinearly; the row of the class token stays as it is.

    Nothing changes if the number of rows already fits. A second prefix row (the distillation token
    of DeiT) is removed: on request, or where only that explains the number of rows.

    Args:
        positions: [1, 1 + g·g, D] or, distilled, [1, 2 + g·g, D].
        grid: Patches per column and per row.
        distilled: The network that learned the positions had a distillation token.

    Returns:
        [1, 1 + rows·columns, D].

    Raises:
        CheckpointError: The rows are not those of a square grid.
    """
    wanted = 1 + grid[0] * grid[1]
    if distilled or (positions.shape[1] != wanted and _is_square(positions.shape[1] - 2)):
        positions = torch.cat([positions[:, :1], positions[:, 2:]], dim=1)
    if positions.shape[1] == wanted:
        return positions
    side = math.isqrt(max(positions.shape[1] - 1, 0))
    if not _is_square(positions.shape[1] - 1):
        raise CheckpointError(
            f"position embedding of {positions.shape[1]} rows",
            f"{wanted} rows, or those of a square grid with one or two more",
            "Use weights of a plain or a distilled vision transformer.",
        )
    patches = positions[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, size=grid, mode="bilinear", align_corners=False)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


def _is_square(count: int) -> bool:
    return count > 0 and math.isqrt(count) ** 2 == count
