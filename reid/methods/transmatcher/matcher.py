"""Scores of pairs of images from their maps: the maximum matching of TransMatcher."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.methods.transmatcher.pair_matcher import PairMatcher
from reid.methods.transmatcher.recipe import ModelRecipe, Pooling
from reid.nn.best_match import best_matches
from reid.nn.precision import at_least_single
from reid.retrieval.features import FloatArray
from reid.retrieval.maximum_matching import MaximumMatching
from reid.retrieval.pair_scorer import MatchingLayer, PairPrecision, PairScorer


class MatchingDecoderLayer(nn.Module):
    """One layer: similarities of all cells, the best of each cell, and a score from their pattern.

    Args:
        cells: L, cells of a map.
    """

    def __init__(self, model: ModelRecipe, cells: int) -> None:
        super().__init__()
        self.pooling: Pooling = model.pooling
        self.cells = cells
        self.symmetric_prior = model.symmetric_prior
        width, hidden = model.width, model.head_width
        self.score_embed: nn.Parameter | None = None
        if model.prior:
            self.score_embed = nn.Parameter(torch.empty(1, 1, cells, cells))
        self.fc1 = nn.Linear(width, width)
        self.bn1 = nn.BatchNorm1d(1)
        self.fc2 = nn.Linear(cells, hidden)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.fc3 = nn.Linear(hidden, 1)
        self.bn3 = nn.BatchNorm1d(1)

    def prior(self) -> Tensor:
        """Return the weight of each pair of cells, [gallery cell, query cell], [L, L]."""
        if self.score_embed is None:
            return self.fc2.weight.new_ones(self.cells, self.cells)
        table = self.score_embed[0, 0]
        return torch.sigmoid((table + table.T) / 2 if self.symmetric_prior else table)

    def pooled(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return what each cell found in the other image, [q, k, 2, L].

        Args:
            queries: Projections [q, L, d].
            gallery: Projections [k, L, d].

        Returns:
            First the row of the query's cells, then that of the gallery image's.
        """
        prior = self.prior()
        if self.pooling == "max":
            of_query, of_gallery = best_matches(queries, gallery, prior)
            return torch.stack([of_query, of_gallery], dim=2)
        cells = queries.shape[1]
        similarity = queries.flatten(0, 1) @ gallery.flatten(0, 1).T
        similarity = similarity.view(len(queries), cells, len(gallery), cells)
        similarity = similarity * prior.T[:, None]
        of_query, of_gallery = (self._pool(similarity, axis) for axis in (3, 1))
        return torch.stack([of_query.transpose(1, 2), of_gallery], dim=2)

    def head(self, pooled: Tensor) -> Tensor:
        """Turn [q, k, 2, L] into scores [q, k]."""
        queries, gallery, _, cells = pooled.shape
        rows = self.bn1(pooled.reshape(-1, 1, cells))[:, 0]
        values = self.fc3(F.relu(self.bn2(self.fc2(rows))))
        pairs: Tensor = self.bn3(values.view(-1, 2).sum(dim=1, keepdim=True))
        return pairs.view(queries, gallery)

    def folded(self, scale: float) -> tuple[MatchingLayer, float]:
        """Return the layer without its norms, and its constant, for scores multiplied by `scale`.

        All arithmetic is in double precision.
        """
        a1, c1 = affine(self.bn1)
        a2, c2 = affine(self.bn2)
        a3, c3 = affine(self.bn3)
        weight, bias = _double(self.fc2.weight), _double(self.fc2.bias)
        shifted = c1 * weight.sum(dim=1) + bias
        layer = MatchingLayer(
            prior=_single(self.prior()),
            head_weight=_single(a2[:, None] * a1 * weight),
            head_bias=_single(a2 * shifted + c2),
            output_weight=_single(scale * a3 * _double(self.fc3.weight)[0]),
        )
        return layer, scale * float(a3 * 2 * _double(self.fc3.bias) + c3)

    def _pool(self, similarity: Tensor, axis: int) -> Tensor:
        if self.pooling == "mean":
            return similarity.mean(dim=axis)
        weight = torch.softmax(similarity / math.sqrt(self.fc1.in_features), dim=axis)
        return (weight * similarity).sum(dim=axis)


class MatchingDecoder(nn.Module):
    """The layers and the norm of their sum."""

    def __init__(self, model: ModelRecipe, cells: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(MatchingDecoderLayer(model, cells) for _ in range(model.layers))
        self.norm = nn.BatchNorm1d(1)


class MaximumMatcher(PairMatcher):
    """The matcher of the paper: every layer compares one map, and their scores are added.

    It keeps the projections of the maps, as query and gallery images share them.

    Args:
        cells: L, cells of a map.
    """

    def __init__(self, model: ModelRecipe, cells: int) -> None:
        super().__init__()
        self.decoder = MatchingDecoder(model, cells)
        for parameter in self.parameters():  # the prior tables too, so that they are not symmetric
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
        self.expressible = model.pooling == "max"
        self.shape = (model.layers, cells, model.width)
        self.symmetric = model.symmetric_prior or not model.prior
        self.floats = 3 * cells**2 + 2 * model.head_width
        head = 2 * 2 * (cells + 1) * model.head_width
        self.flops = float(model.layers * (2 * cells**2 * model.width + head))

    @property
    def layers(self) -> list[MatchingDecoderLayer]:
        """The layers, in their order."""
        return list(self.decoder.layers)  # type: ignore[arg-type]

    def keep(self, maps: Tensor) -> Tensor:
        """Return the projections [B, layers, L, d] of maps of this shape."""
        projections = [layer.fc1(maps[:, i]) for i, layer in enumerate(self.layers)]
        return torch.stack(projections, dim=1)

    def score(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the scores [q, k] of projections."""
        per_layer = [
            layer.head(layer.pooled(queries[:, i], gallery[:, i]))
            for i, layer in enumerate(self.layers)
        ]
        total: Tensor = self.decoder.norm(torch.stack(per_layer).sum(dim=0).reshape(-1, 1))
        return at_least_single(total.view(len(queries), len(gallery)))

    def scorer(self, precision: PairPrecision, device: str) -> PairScorer:
        """Return the folded layers; for another pooling the module itself."""
        if not self.expressible:
            return super().scorer(precision, device)
        scale, constant = affine(self.decoder.norm)
        folded = [layer.folded(float(scale)) for layer in self.layers]
        return MaximumMatching(
            [layer for layer, _ in folded],
            width=self.shape[2],
            constant=float(constant) + sum(shift for _, shift in folded),
            symmetric=self.symmetric,
            precision=precision,
            device=device,
        )


def affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a batch norm in evaluation mode, in double precision."""
    if norm.running_var is None or norm.running_mean is None:
        raise TypeError("a batch norm without statistics cannot be folded")
    scale = _double(norm.weight) / (_double(norm.running_var) + norm.eps).sqrt()
    return scale, _double(norm.bias) - scale * _double(norm.running_mean)


def _double(values: Tensor) -> Tensor:
    return values.detach().double().cpu()


def _single(values: Tensor) -> FloatArray:
    return values.detach().float().cpu().numpy().copy()
