"""What a transformer sees in the patches of an image: attention and tokens of its last block.

For pictures, not for training: attention is worked out once more here, so that the network itself
goes on with the fused kernel, which never holds it.
"""

from typing import NamedTuple

from torch import Tensor, nn

from reid.nn.block import Block
from reid.nn.patch import Pair


class PatchView(NamedTuple):
    """The patches of B images on their grid of h × w.

    Attributes:
        attention: [B, heads, h, w], the class token's attention to each patch; what lacks to a sum
            of 1 is its attention to itself.
        tokens: [B, h, w, D], output of the last block after the final norm.
    """

    attention: Tensor
    tokens: Tensor


def view_last_block(tokens: Tensor, block: nn.Module, norm: nn.Module, grid: Pair) -> PatchView:
    """Run the last block and the norm on all of its input [B, 1 + N, D], the class token first."""
    if not isinstance(block, Block):
        raise TypeError(f"the last block is {type(block).__name__}")
    B, _, D = tokens.shape
    attention = block.attn.weights(block.norm1(tokens), queries=1)[:, :, 0, 1:]
    patches = norm(block(tokens))[:, 1:]
    return PatchView(attention.reshape(B, -1, *grid), patches.reshape(B, *grid, D))
