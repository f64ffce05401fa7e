"""Backbone weights from elsewhere, brought to the shapes of a plain transformer."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from reid.errors import CheckpointError
from reid.nn.patch import PatchEmbedding
from reid.nn.position import Grid, resample_positions, upright_grid, without_distillation_row
from reid.nn.stem import ConvolutionStem

NOT_BACKBONE = ("head", "dist", "pre_logits", "masked_embed")
POSITIONS, PROJECTION = "pos_embed", "patch_embed.proj.weight"


class FittedBackbone(NamedTuple):
    """Weights in the names and shapes of `PlainTransformer`.

    Attributes:
        resized: Keys of the state that were resampled.
        dropped: Keys that belong to no backbone and were left out.
    """

    state: dict[str, Tensor]
    resized: tuple[str, ...]
    dropped: tuple[str, ...]


def fit_backbone(
    state: Mapping[str, Tensor],
    embedding: PatchEmbedding | ConvolutionStem,
    grid: Grid | None,
    ratio: int | None,
    remedy: str,
) -> FittedBackbone:
    """Leave out heads, classifiers and the mask token; bring projection and positions to shape.

    Positions are resampled wherever their grid differs from the network's, even if it has as many
    patches.

    Args:
        state: Weights of a plain transformer in the names of DINO and timm.
        embedding: That of the network that the weights are for.
        grid: Patches per column and per row that the positions were learned on, if known.
        ratio: Height over width of that grid; None where the number of positions tells it.
        remedy: What to do if nothing tells the grid, for the error message.

    Raises:
        CheckpointError: The positions make no upright grid.
    """
    left_out = tuple(key for key in state if _is_left_out(key))
    kept = {key: value for key, value in state.items() if key not in left_out}
    kernel = embedding.proj.weight.shape[1:]
    projection, positions = kept.get(PROJECTION), kept.get(POSITIONS)
    if projection is not None and projection.shape[1:] == (kernel.numel(),):
        kept[PROJECTION] = projection.reshape(-1, *kernel)
    if positions is None:
        return FittedBackbone(kept, (), left_out)  # the load will name it as missing
    if any("dist_token" in key for key in left_out):
        positions = without_distillation_row(positions)
    old = grid or _stored_grid(positions.shape[1] - 1, ratio, embedding.grid, remedy)
    kept[POSITIONS] = resample_positions(positions, old, embedding.grid)
    return FittedBackbone(kept, (POSITIONS,) if old != embedding.grid else (), left_out)


def _is_left_out(key: str) -> bool:
    return key.startswith("fc.") or any(part in key for part in NOT_BACKBONE)


def _stored_grid(patches: int, ratio: int | None, own: Grid, remedy: str) -> Grid:
    """Find the grid that the positions were learned on.

    The ratio or the number of patches tells it. If neither does, it is the network's own grid,
    provided that has as many patches.
    """
    grid = upright_grid(patches, ratio)
    if grid is None and patches == own[0] * own[1]:
        return own
    if grid is None:
        told = "not given" if ratio is None else str(ratio)
        raise CheckpointError(
            f"position embedding of {patches} patches, height over width {told}",
            "a grid as high as wide or that many times, or if not given twice or three times",
            remedy,
        )
    return grid
