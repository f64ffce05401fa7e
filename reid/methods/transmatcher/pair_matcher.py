"""What compares images without vectors, as a module that is trained and as a scorer of rows."""

import copy
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from reid.retrieval.features import FloatArray
from reid.retrieval.pair_scorer import PairPrecision, PairScorer

_FLOATS = 1 << 24  # of working memory for the pairs that are scored at once


class PairMatcher(nn.Module, ABC):
    """Compares images by what it keeps of each.

    Attributes:
        shape: Of what is kept of one image.
        flops: Floating-point operations for one pair.
        floats: Numbers of working memory for one pair.
        symmetric: The order of two images does not matter.
    """

    shape: tuple[int, ...]
    flops: float
    floats: int
    symmetric: bool

    @abstractmethod
    def keep(self, maps: Tensor) -> Tensor:
        """Turn the maps [B, layers, L, d] of images into what is kept of them, [B, *shape]."""

    @abstractmethod
    def score(self, queries: Tensor, gallery: Tensor) -> Tensor:
        """Return the scores [q, k] of what is kept of q and of k images; they are logits.

        In training mode the norms use the statistics of all these pairs.
        """

    def scorer(self, precision: PairPrecision, device: str) -> PairScorer:
        """Return what scores pairs as this does in evaluation mode, with the weights of now."""
        return ModuleScorer(self, precision, device)


class ModuleScorer:
    """Scores rows with a copy of a module in evaluation mode, a block of pairs at a time.

    Slower than an engine made for one kind of matcher, but there for all of them.
    """

    def __init__(self, matcher: PairMatcher, precision: PairPrecision, device: str) -> None:
        self._matcher = copy.deepcopy(matcher).to(device).eval()
        self._device, self._rounds = torch.device(device), precision == "bf16"
        self.shape = matcher.shape
        self.flops = matcher.flops
        self.symmetric = matcher.symmetric

    @torch.inference_mode()
    def scores(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        """Return the scores [Q, G] of rows [Q, F] and [G, F]."""
        scores = np.empty((len(queries), len(gallery)), np.float32)
        pairs = max(1, _FLOATS // self._matcher.floats)
        columns = min(pairs, max(len(gallery), 1))
        rows = max(1, pairs // columns)
        for j in range(0, len(gallery), columns):
            block = self._kept(gallery[j : j + columns])
            for i in range(0, len(queries), rows):
                with torch.autocast(self._device.type, torch.bfloat16, enabled=self._rounds):
                    found = self._matcher.score(self._kept(queries[i : i + rows]), block)
                scores[i : i + rows, j : j + columns] = found.float().cpu().numpy()
        return scores

    def _kept(self, rows: FloatArray) -> Tensor:
        return torch.as_tensor(rows, device=self._device).reshape(-1, *self.shape)
