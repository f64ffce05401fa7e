"""Scores of pairs by maximum matching on a device of torch: a batched product for each block."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reid.retrieval.features import FloatArray
from reid.retrieval.pair_scorer import MatchingLayer

# queries of a product, and bytes of its similarities
_QUERIES = 8
_TILE = 1 << 28


def device_scores(
    layers: Sequence[MatchingLayer],
    queries: FloatArray,
    gallery: FloatArray,
    device: str,
    bf16: bool,
) -> FloatArray:
    """Return the sums over layers [Q, G]; products have one shape, whatever is asked for.

    Args:
        layers: See `MaximumMatching`.
        queries: [Q, layers, L, d].
        gallery: [G, layers, L, d].
        device: A device of torch.
        bf16: Round the cells to bfloat16.
    """
    cells = queries.shape[2]
    step = max(1, _TILE // (_QUERIES * cells**2 * 4))
    mine, others = _moved(queries, _QUERIES, device, bf16), _moved(gallery, step, device, bf16)
    total = torch.zeros(len(mine), len(others), device=device)
    for number, layer in enumerate(layers):
        weights = (layer.prior, layer.head_weight, layer.head_bias, layer.output_weight)
        here = [torch.from_numpy(x).to(device) for x in weights]
        for first in range(0, len(mine), _QUERIES):
            for start in range(0, len(others), step):
                block = (slice(first, first + _QUERIES), slice(start, start + step))
                total[block] += _layer_scores(
                    mine[block[0], number], others[block[1], number], *here
                ).T
    found: FloatArray = total[: len(queries), : len(gallery)].cpu().numpy()
    return found


def _moved(rows: FloatArray, multiple: int, device: str, bf16: bool) -> Tensor:
    """Return rows on the device, filled up with zeros to a multiple of some number."""
    room = np.zeros((-(-len(rows) // multiple) * multiple, *rows.shape[1:]), np.float32)
    room[: len(rows)] = rows
    moved = torch.from_numpy(room).to(device)
    return moved.bfloat16() if bf16 else moved


def _layer_scores(
    queries: Tensor,
    gallery: Tensor,
    prior: Tensor,
    head_weight: Tensor,
    head_bias: Tensor,
    output_weight: Tensor,
) -> Tensor:
    """Return the scores [g, q] of one layer from cells [q, L, d] and [g, L, d]."""
    products = _product(gallery.flatten(0, 1), queries.flatten(0, 1).T)
    cells = len(prior)
    tiles = products.view(len(gallery), cells, len(queries), cells)
    tiles.mul_(prior[:, None])
    rows = torch.stack([tiles.amax(dim=1), tiles.amax(dim=3).transpose(1, 2)], dim=2)
    hidden = torch.relu(rows.flatten(0, 2) @ head_weight.T + head_bias)
    return (hidden @ output_weight).view(len(gallery), len(queries), 2).sum(dim=2)


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Return a float32 product of matrices that may be bfloat16."""
    if first.dtype == torch.bfloat16 and first.is_cuda:
        return torch.mm(first, second, out_dtype=torch.float32)
    return first.float() @ second.float()
