"""Transformers of other kinds that the paper compares its matcher with (experimental).

They share the backbone and are trained alike; there is no published code of them.
"""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from reid.methods.transmatcher.pair_matcher import PairMatcher
from reid.methods.transmatcher.recipe import ModelRecipe
from reid.nn.precision import at_least_single


class Baseline(PairMatcher):
    """A matcher whose raw scores go through one norm over all pairs, like those of the paper's."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape, self.symmetric = shape, True
        self.norm = nn.BatchNorm1d(1)

    @abstractmethod
    def raw_scores(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return [q, k] before the norm."""

    def score(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the scores [q, k] of what is kept of q and of k images."""
        raw = self.raw_scores(queries, gallery)
        return at_least_single(self.norm(raw.reshape(-1, 1)).view(raw.shape))


class VectorMatcher(Baseline):
    """The mean over the cells of the last map, compared by the cosine."""

    def __init__(self, model: ModelRecipe, cells: int) -> None:  # noqa: ARG002 - one form
        super().__init__((model.width,))
        self.flops, self.floats = 2.0 * model.width, 1

    def keep(self, maps: Tensor) -> Tensor:
        """Return the mean [B, d] of the last map."""
        return maps[:, -1].mean(dim=1)

    def raw_scores(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the cosines [q, k]."""
        return F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).T


class CellMatcher(Baseline):
    """The cells of the last map, which those of another image meet in a transformer."""

    def __init__(self, model: ModelRecipe, cells: int) -> None:
        super().__init__((cells, model.width))
        self.output = nn.Linear(model.width, 1)

    def keep(self, maps: Tensor) -> Tensor:
        """Return the last map [B, L, d]."""
        return maps[:, -1]

    def raw_scores(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return [q, k], a query at a time; training computes it again in the backward pass."""
        rows = []
        for query in queries:
            one = query.expand(len(gallery), -1, -1)
            if torch.is_grad_enabled():
                rows.append(checkpoint(self.meet, one, gallery, use_reentrant=False))
            else:
                rows.append(self.meet(one, gallery))
        return torch.stack(rows)

    @abstractmethod
    def meet(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the raw score [n] of n pairs of cells [n, L, d]."""


class ConcatenationMatcher(CellMatcher):
    """The cells of both images go through an encoder as one sequence."""

    def __init__(self, model: ModelRecipe, cells: int) -> None:
        super().__init__(model, cells)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                model.width, model.heads, model.encoder_width, dropout=0.0, batch_first=True
            )
            for _ in range(model.layers)
        )
        tokens, width, hidden = 2 * cells, model.width, model.encoder_width
        self.floats = tokens * (6 * width + hidden + model.heads * tokens)
        layer = 8 * tokens * width**2 + 4 * tokens**2 * width + 4 * tokens * width * hidden
        self.flops = float(model.layers * layer)

    def meet(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the raw score [n] of n pairs of cells [n, L, d]."""
        cells = torch.cat([queries, gallery], dim=1)
        for layer in self.layers:
            cells = layer(cells)
        return self.output(cells.mean(dim=1))[:, 0]  # type: ignore[no-any-return]


class CrossMatcher(CellMatcher):
    """The cells of each image attend to those of the other; both directions count alike."""

    def __init__(self, model: ModelRecipe, cells: int) -> None:
        super().__init__(model, cells)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                model.width, model.heads, model.encoder_width, dropout=0.0, batch_first=True
            )
            for _ in range(model.layers)
        )
        width, hidden = model.width, model.encoder_width
        self.floats = cells * (8 * width + hidden + model.heads * cells)
        layer = 16 * cells * width**2 + 8 * cells**2 * width + 4 * cells * width * hidden
        self.flops = float(2 * model.layers * layer)

    def meet(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the raw score [n] of n pairs of cells [n, L, d]."""
        return (self._attend(queries, gallery) + self._attend(gallery, queries)) / 2

    def _attend(self, cells: Tensor, others: Tensor) -> Tensor:
        for layer in self.layers:
            cells = layer(cells, others)
        return self.output(cells.mean(dim=1))[:, 0]  # type: ignore[no-any-return]


BASELINES = {"vit": VectorMatcher, "cat": ConcatenationMatcher, "cross": CrossMatcher}
"""The baselines by the name that a recipe gives them."""
