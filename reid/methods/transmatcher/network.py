"""The TransMatcher network."""

import copy
from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Tensor, nn

from reid.data.images import Batch
from reid.errors import CheckpointError
from reid.losses.pairwise_matching import (
    mean_of_finite,
    pairwise_cross_entropy,
    score_gap,
    score_triplet,
)
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.transmatcher.baselines import BASELINES
from reid.methods.transmatcher.matcher import MaximumMatcher
from reid.methods.transmatcher.pair_matcher import PairMatcher
from reid.methods.transmatcher.recipe import ModelRecipe, TransMatcherRecipe
from reid.nn.processes import gather_rows
from reid.nn.resnet import ResNet
from reid.retrieval.pair_scorer import PairPrecision, PairScorer

MATCHERS: dict[str, Callable[[ModelRecipe, int], PairMatcher]] = {
    "maximum": MaximumMatcher,
    **BASELINES,
}


class CellEncoder(nn.Module):
    """Transformer layers over the cells of a map, equal at the start."""

    def __init__(self, model: ModelRecipe) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            model.width, model.heads, model.encoder_width, dropout=0.0, batch_first=True
        )
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(model.encoders))

    def forward(self, cells: Tensor) -> list[Tensor]:
        """Return the output [B, L, d] of every layer for cells [B, L, d]."""
        outputs = []
        for layer in self.layers:
            cells = layer(cells)
            outputs.append(cells)
        return outputs


class FeatureNetwork(nn.Module):
    """Backbone, neck and encoder.

    Unless the recipe says otherwise it stays in evaluation mode when it is trained: gradients reach
    all weights, and the batch norms keep their statistics.

    Args:
        cells: L, cells of a map.
    """

    def __init__(self, model: ModelRecipe, cells: int) -> None:
        super().__init__()
        self.base = ResNet(model.backbone, model.final_layer, model.ibn)
        channels, width = self.base.channels, model.width
        self.neck_conv = nn.Conv2d(channels, width, 3, padding=1) if model.neck else None
        self.position: nn.Parameter | None = None
        if model.position:
            self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(cells, width), std=0.02))
        self.encoder = CellEncoder(model)
        self.frozen = model.frozen_statistics
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Change to training mode, if the statistics are not frozen."""
        return super().train(mode and not self.frozen)

    def forward(self, images: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into the maps [B, layers, L, d], cells in row-major order."""
        trunk = self.base(images)
        neck = trunk if self.neck_conv is None else self.neck_conv(trunk)
        cells = neck.flatten(2).transpose(1, 2)
        placed = cells if self.position is None else cells + self.position
        return torch.stack([cells, *self.encoder(placed)], dim=1)


class TransMatcher(EmbeddingNetwork):
    """Maps of images and a matcher that scores pairs of them; there is no embedding.

    What is kept of an image is the matcher's to say. The names of all parameters are those of the
    published code below `features` and `matcher`.

    Differs from the reference code: query and gallery images that are the same are projected once,
    and the template of the decoder layers, which never took part, does not exist.
    """

    backbone_prefix = "features.base."

    def __init__(self, recipe: TransMatcherRecipe, facts: DataFacts) -> None:  # noqa: ARG002
        super().__init__()
        model = recipe.model
        self.image, self.grid, self.ibn = recipe.image, recipe.grid, model.ibn
        cells = self.grid[0] * self.grid[1]
        self.features = FeatureNetwork(model, cells)
        self.matcher: PairMatcher = MATCHERS[model.matching](model, cells)
        self.feature_size = int(torch.Size(self.matcher.shape).numel())
        self.uses_cameras = False
        self.loss_recipe = recipe.loss

    def scores(self, images: Tensor) -> Tensor:
        """Return the scores [B, B] of all pairs of [B, 3, H, W], over all processes."""
        kept = gather_rows(self.matcher.keep(self.features(images)))
        return self.matcher.score(kept, kept)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss over the pairs of the batch.

        `accuracy` is the share of images whose least similar image of the same person beats all of
        other persons. A batch without a finite row trains nothing.
        """
        recipe, scores = self.loss_recipe, self.scores(batch.images)
        labels = gather_rows(batch.labels)
        gap = score_gap(scores.detach(), labels)
        if recipe.name == "triplet":
            rows, right = score_triplet(scores, labels, recipe.margin), gap >= 0
        else:
            rows, right = pairwise_cross_entropy(scores, labels), gap > 0
        loss = mean_of_finite(rows) if rows.isfinite().any() else self._nothing()
        return {"loss": loss, "accuracy": right.float().mean()}

    def per_image(self) -> list[nn.Module]:
        """Return the feature network; the norms of the matcher see pairs."""
        return [self.features]

    def embed(self, batch: Batch) -> Tensor:
        """Return [B, F]: what the scorer needs of each image."""
        return self.matcher.keep(self.features(batch.images)).flatten(1)

    def scorer(self, precision: PairPrecision = "fp32", device: str = "cpu") -> PairScorer:
        """Return what scores the rows of `embed`, with the weights of now."""
        return self.matcher.scorer(precision, device)

    def fit_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights without those of stages that nobody runs.

        Raises:
            CheckpointError: The weights were made with another image size.
        """
        keys = {
            key.removeprefix(self.backbone_prefix): key
            for key in state
            if self.backbone_prefix in key
        }
        left_out = {keys[key] for key in self.features.base.left_out(keys)}
        prior = state.get("matcher.decoder.layers.0.score_embed")
        cells = self.grid[0] * self.grid[1]
        if prior is not None and prior.shape[-1] != cells:
            h, w = self.grid
            raise CheckpointError(
                f"weights for {prior.shape[-1]} cells, and the {h}x{w} = {cells} of "
                f"{self.image.height}x{self.image.width} images",
                "the image size of the training, which is baked into the weights",
                "Set `image` and `model.final_layer` as they were.",
            )
        return {key: value for key, value in state.items() if key not in left_out}

    def clipped(self) -> list[nn.Module]:
        """Return the feature network and the matcher."""
        return [self.features, self.matcher]

    def _nothing(self) -> Tensor:
        """Return a zero whose gradients are zeros, whatever the last batch was."""
        return torch.stack([parameter.sum() * 0 for parameter in self.parameters()]).sum()


def build(recipe: TransMatcherRecipe, facts: DataFacts) -> TransMatcher:
    """Make the network with fresh weights."""
    return TransMatcher(recipe, facts)
