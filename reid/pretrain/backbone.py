"""The backbone while it is pretrained: hidden patches, and crops of more than one size."""

import torch
from torch import Tensor, nn

from reid.nn.patch import PatchEmbedding, patch_grid
from reid.nn.plain_transformer import PlainTransformer
from reid.nn.position import Grid, stretch_positions
from reid.nn.transformer_recipe import TransformerRecipe


class PretrainBackbone(PlainTransformer):
    """A plain transformer whose patches can be hidden and whose positions follow the crop.

    Args:
        image_size: Height and width of the global crops, on whose grid positions are learned.
        hides: Have the vector that stands for hidden patches; a teacher needs none.
    """

    def __init__(self, recipe: TransformerRecipe, image_size: Grid, *, hides: bool) -> None:
        shape = recipe.shape
        super().__init__(
            shape, PatchEmbedding(image_size, recipe.patch, recipe.strides, shape.width)
        )
        self.patch, self.strides = recipe.patch, recipe.strides
        self.masked_embed = nn.Parameter(torch.zeros(1, shape.width)) if hides else None

    def grid(self, images: Tensor) -> Grid:
        """Return the patches per column and per row of [B, 3, H, W]."""
        height, width = images.shape[-2:]
        return patch_grid((height, width), self.patch, self.strides)

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Turn images into normalised tokens [B, 1 + N, D], the class token first.

        Args:
            images: [B, 3, H, W] of any size.
            mask: [B, h, w], True where a patch is hidden; None hides nothing.
        """
        return self.encode(self._tokens(images, mask))

    def class_feature(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the normalised class token alone, [B, D], of images of any size."""
        return self.encode(self._tokens(images, mask), outputs=1)[:, 0]

    def _tokens(self, images: Tensor, mask: Tensor | None) -> Tensor:
        if not isinstance(self.patch_embed, PatchEmbedding):
            raise TypeError("pretraining has no convolution stem")
        patches = self.patch_embed.project(images)
        if mask is not None and self.masked_embed is not None:
            hidden = self.masked_embed.to(patches.dtype)
            patches = torch.where(mask.flatten(1)[..., None], hidden, patches)
        positions = stretch_positions(self.pos_embed, self.patch_embed.grid, self.grid(images))
        return self.assemble(patches, positions)
