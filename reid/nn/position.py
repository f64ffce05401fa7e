"""Position embeddings learned on one grid of patches, brought to another."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.errors import CheckpointError

Grid = tuple[int, int]

UPRIGHT_RATIOS = (1, 2, 3)
"""Height over width of grids that can be told apart by their number of patches: no number is a
square, twice a square and three times a square at once."""

SHIFT = 0.1  # added to the grid in the scale of `stretch_positions`


def fit_positions(positions: Tensor, grid: Grid, *, distilled: bool = False) -> Tensor:
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
        positions = without_distillation_row(positions)
    if positions.shape[1] == wanted:
        return positions
    side = math.isqrt(max(positions.shape[1] - 1, 0))
    if not _is_square(positions.shape[1] - 1):
        raise CheckpointError(
            f"position embedding of {positions.shape[1]} rows",
            f"{wanted} rows, or those of a square grid with one or two more",
            "Use weights of a plain or a distilled vision transformer.",
        )
    return resample_positions(positions, (side, side), grid)


def without_distillation_row(positions: Tensor) -> Tensor:
    """Remove the second prefix row, that of DeiT's distillation token."""
    return torch.cat([positions[:, :1], positions[:, 2:]], dim=1)


def upright_grid(patches: int, ratio: int | None) -> Grid | None:
    """Return (rows, columns) of a grid that is `ratio` times as high as wide.

    Args:
        patches: Number of patches N.
        ratio: Height over width; None tries those that the number tells apart.

    Returns:
        None if N patches make no such grid.
    """
    for candidate in UPRIGHT_RATIOS if ratio is None else (ratio,):
        rows = math.isqrt(patches * candidate)
        columns = rows // candidate
        if rows * columns == patches and rows == columns * candidate:
            return rows, columns
    return None


def resample_positions(positions: Tensor, old: Grid, new: Grid) -> Tensor:
    """Resample [1, 1 + N, D] bilinearly from grid `old` to `new`; the class row stays as it is."""
    if old == new:
        return positions
    patches = _as_map(positions, old)
    patches = F.interpolate(patches, size=new, mode="bilinear", align_corners=False)
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


def stretch_positions(positions: Tensor, old: Grid, new: Grid) -> Tensor:
    """Resample [1, 1 + N, D] bicubically for crops of another size while training.

    The scale is that of a grid larger by 0.1 in both directions, as in DINO and its person
    variant (arXiv 2111.12084): a slight shift of all positions that weights have learned with.
    """
    if old == new:
        return positions
    scale = ((new[0] + SHIFT) / old[0], (new[1] + SHIFT) / old[1])
    patches = F.interpolate(_as_map(positions, old), scale_factor=scale, mode="bicubic")
    return torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


def _as_map(positions: Tensor, grid: Grid) -> Tensor:
    return positions[:, 1:].reshape(1, *grid, -1).permute(0, 3, 1, 2)


def _is_square(count: int) -> bool:
    return count > 0 and math.isqrt(count) ** 2 == count
