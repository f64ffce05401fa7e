"""The plain vision transformer (arXiv 2010.11929), with the names of published weights.

Differs from `vision_transformer`: one piece, for networks with a single head. Its state dict is
that of the backbone in DINO, iBOT and timm files.
"""

import torch
from torch import Tensor, nn

from reid.nn.patch import PatchEmbedding
from reid.nn.patch_view import PatchView, view_last_block
from reid.nn.stem import ConvolutionStem
from reid.nn.vision_transformer import TransformerShape


class PlainTransformer(nn.Module):
    """Patches, class token, positions, blocks and a final norm."""

    def __init__(
        self, shape: TransformerShape, patch_embed: PatchEmbedding | ConvolutionStem
    ) -> None:
        super().__init__()
        rows, columns = patch_embed.grid
        self.width = shape.width
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + rows * columns, shape.width))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.patch_embed = patch_embed
        self.blocks = nn.ModuleList(shape.block(index) for index in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into normalised tokens [B, 1 + N, D], the class token first."""
        return self.encode(self.assemble(self.patch_embed(images), self.pos_embed))

    def class_feature(self, images: Tensor) -> Tensor:
        """Return the normalised class token alone, [B, D], for less than the price of all."""
        tokens = self.assemble(self.patch_embed(images), self.pos_embed)
        return self.encode(tokens, outputs=1)[:, 0]

    def view_patches(self, images: Tensor) -> PatchView:
        """Show what the last block makes of the patches of [B, 3, H, W]."""
        tokens = self.assemble(self.patch_embed(images), self.pos_embed)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return view_last_block(tokens, self.blocks[-1], self.norm, self.patch_embed.grid)

    def assemble(self, patches: Tensor, positions: Tensor) -> Tensor:
        """Put the class token before patches [B, N, D] and add positions [1, 1 + N, D]."""
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + positions

    def encode(self, tokens: Tensor, outputs: int | None = None) -> Tensor:
        """Return the first `outputs` tokens (all if None) after the blocks and the norm."""
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return self.norm(self.blocks[-1](tokens, outputs=outputs))  # type: ignore[no-any-return]
