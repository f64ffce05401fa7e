"""Jigsaw patches (arXiv 2102.04378, section 3.2): which patch goes into which piece.

All of it is one fixed permutation, worked out when the network is built and applied as one gather.
"""

import torch
from torch import Tensor

from reid.errors import ParamsError
from reid.methods.transreid.recipe import JigsawRecipe


def patch_order(patches: int, recipe: JigsawRecipe) -> Tensor:
    """Return the patch numbers after shift and shuffle, counted from 0.

    Where `groups` does not divide the patches, the last but one of the shifted sequence is
    repeated at its end, so that the result is one longer.

    Raises:
        ParamsError: `groups` does not divide the lengthened sequence either.
    """
    order = torch.arange(patches)
    if not recipe.rearrange:
        return order
    rotation = recipe.shift - 1 if recipe.legacy_rotation else recipe.shift
    order = torch.cat([order[rotation:], order[:rotation]])
    if patches % recipe.groups:
        order = torch.cat([order, order[-2:-1]])
    if len(order) % recipe.groups:
        raise ParamsError(
            f"{patches} patches and model.jigsaw.groups {recipe.groups}",
            "groups that divide the patches, or the patches and one",
            "Change `model.jigsaw.groups`, `model.stride` or the image size.",
        )
    return order.view(recipe.groups, -1).T.flatten()


def piece_orders(patches: int, recipe: JigsawRecipe) -> list[Tensor]:
    """Return the patch numbers of the pieces, [pieces, length], grouped by equal length.

    It is a single group unless `divide` is smaller than `pieces`: then the sequence ends inside
    a piece, and the pieces beyond it consist of the class token alone.
    """
    order = patch_order(patches, recipe)
    length = patches // (recipe.divide or recipe.pieces)
    pieces = [order[i * length : (i + 1) * length] for i in range(recipe.pieces)]
    lengths = list(dict.fromkeys(len(piece) for piece in pieces))
    return [torch.stack([p for p in pieces if len(p) == length]) for length in lengths]


def gather_pieces(tokens: Tensor, order: Tensor) -> Tensor:
    """Return the class token followed by the patches of each piece.

    Args:
        tokens: [B, 1 + N, D], the class token first.
        order: [P, L] patch numbers.

    Returns:
        [B·P, 1 + L, D], the pieces of an image one after the other.
    """
    pieces, length = order.shape
    patches = tokens[:, 1:].index_select(1, order.flatten())
    patches = patches.view(len(tokens), pieces, length, -1)
    first = tokens[:, None, :1].expand(-1, pieces, -1, -1)
    return torch.cat([first, patches], dim=2).flatten(0, 1)
