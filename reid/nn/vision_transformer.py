"""Vision transformer in two parts: a trunk without its last block, and a branch that is that block.

Split like this because part-based heads run several branches on one trunk.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reid.nn.block import Block
from reid.nn.patch import Pair, PatchEmbedding
from reid.nn.patch_view import PatchView, view_last_block
from reid.nn.side_information import SideInformation


@dataclass(frozen=True)
class TransformerShape:
    """Sizes of a vision transformer.

    Attributes:
        width: Length D of a token.
        qk_scale: Factor of the attention logits; None means the head size to the power -1/2.
        drop_path: Stochastic depth of the last block; it grows linearly from 0 at the first.
    """

    width: int
    depth: int
    heads: int
    mlp_ratio: float
    qkv_bias: bool
    qk_scale: float | None
    drop_path: float

    def block(self, index: int) -> Block:
        """Return the fresh block number `index` of `depth`."""
        rate = self.drop_path * index / max(self.depth - 1, 1)
        block = Block(
            self.width,
            self.heads,
            mlp_ratio=self.mlp_ratio,
            qkv_bias=self.qkv_bias,
            qk_scale=self.qk_scale,
            drop_path=rate,
        )
        block.apply(_initialise)
        return block


class Trunk(nn.Module):
    """Patches, class token, positions, side information and all blocks but the last."""

    def __init__(
        self,
        shape: TransformerShape,
        image_size: Pair,
        patch: int,
        stride: Pair,
        side_information: SideInformation | None,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(image_size, patch, stride, shape.width)
        rows, columns = self.patch_embed.grid
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + rows * columns, shape.width))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.side_information = side_information
        self.blocks = nn.ModuleList(shape.block(index) for index in range(shape.depth - 1))

    def tokens(self, images: Tensor, cameras: Tensor, views: Tensor) -> Tensor:
        """Return the input of the first block, [B, 1 + N, D], the class token first."""
        patches = self.patch_embed(images)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        tokens = tokens + self.pos_embed
        if self.side_information is not None:
            tokens = tokens + self.side_information(cameras, views)
        return tokens

    def forward(self, images: Tensor, cameras: Tensor, views: Tensor) -> Tensor:
        """Turn [B, 3, H, W] and [B] ids into [B, 1 + N, D], not normalised."""
        tokens = self.tokens(images, cameras, views)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class Branch(nn.Module):
    """The last block and the final norm, reduced to the class token."""

    def __init__(self, shape: TransformerShape) -> None:
        super().__init__()
        self.block = shape.block(shape.depth - 1)
        self.norm = nn.LayerNorm(shape.width, eps=1e-6)

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn [B, 1 + N, D] into the class feature [B, D]."""
        return self.norm(self.block(tokens, outputs=1))[:, 0]  # type: ignore[no-any-return]

    def view_patches(self, tokens: Tensor, grid: Pair) -> PatchView:
        """Show what the block makes of all patches of [B, 1 + N, D]."""
        return view_last_block(tokens, self.block, self.norm, grid)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
