"""How well each cell of a map is found in another map, for all pairs of two sets of maps."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_NUMBERS = 1 << 22  # similarities that exist at once


def best_matches(queries: Tensor, gallery: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
    """Return the largest weighted similarity of each cell with the cells of the other map.

    The similarities of all pairs of cells never exist together: only which ones were the largest is
    kept for the backward pass, where plain operations would keep all of them three times. Of equal
    ones one gets the gradient. There is no second derivative.

    Args:
        queries: [q, L, d].
        gallery: [k, L, d].
        prior: Weight of each pair of cells, [gallery cell, query cell], [L, L], positive.

    Returns:
        For the cells of the queries [q, k, L], and for those of the gallery maps [q, k, L].
    """
    if torch.is_grad_enabled():
        found: tuple[Tensor, Tensor] = _BestMatches.apply(queries, gallery, prior)
        return found
    blocks = [  # a good deal faster than where the places are asked for
        (block.amax(dim=3), block.amax(dim=1)) for block in _similarities(queries, gallery, prior)
    ]
    of_query, of_gallery = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return of_query.transpose(1, 2), of_gallery


class _BestMatches(torch.autograd.Function):
    """Cells are [t] in a query, [s] in a gallery map; a block of similarities is [n, t, k, s]."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, gallery: Tensor, prior: Tensor) -> tuple[Tensor, Tensor]:
        blocks = [
            (*block.max(dim=3), *block.max(dim=1))
            for block in _similarities(queries, gallery, prior)
        ]
        of_query, s, of_gallery, t = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        ctx.save_for_backward(queries, gallery, prior, of_query, s, of_gallery, t)
        return of_query.transpose(1, 2), of_gallery

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_query: Tensor, g_gallery: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        queries, gallery, prior, of_query, s, of_gallery, t = ctx.saved_tensors
        g_query, cells = g_query.transpose(1, 2), len(prior)
        flat = gallery.flatten(0, 1)
        g_flat, g_queries = torch.zeros_like(flat, dtype=prior.dtype), torch.empty_like(queries)
        step = _rows(gallery, cells)
        for first in range(0, len(queries), step):
            rows = slice(first, first + step)
            chosen = g_query.new_zeros(*s[rows].shape, cells)  # [n, t, k, s]
            chosen.scatter_(3, s[rows, ..., None], g_query[rows, ..., None])
            chosen.scatter_add_(1, t[rows, None], g_gallery[rows, None])
            inner = (chosen * prior.T[:, None]).to(queries.dtype).flatten(0, 1).flatten(1)
            g_queries[rows] = (inner @ flat).view_as(g_queries[rows])
            g_flat += inner.T @ queries[rows].flatten(0, 1)
        places = torch.arange(cells, device=prior.device)
        g_prior = _prior_gradient(prior, s * cells + places[:, None], g_query * of_query)
        g_prior += _prior_gradient(prior, places * cells + t, g_gallery * of_gallery)
        return g_queries, g_flat.to(gallery.dtype).view_as(gallery), g_prior


def _similarities(queries: Tensor, gallery: Tensor, prior: Tensor) -> Iterator[Tensor]:
    """Yield the weighted similarities [n, t, k, s] of a few queries at a time."""
    cells, flat = len(prior), gallery.flatten(0, 1)
    for block in torch.split(queries, _rows(gallery, cells)):
        products = block.flatten(0, 1) @ flat.T
        yield products.view(len(block), cells, -1, cells) * prior.T[:, None]


def _prior_gradient(prior: Tensor, places: Tensor, weighted: Tensor) -> Tensor:
    """Add up in each place [s, t] of the prior the products that it multiplied.

    Args:
        places: Numbers s · L + t.
        weighted: Gradient times product times prior.
    """
    divisors = prior.clamp_min(torch.finfo(prior.dtype).tiny).flatten()
    sums = torch.zeros_like(divisors)
    sums.scatter_add_(0, places.flatten(), (weighted / divisors[places]).flatten())
    return sums.view_as(prior)


def _rows(gallery: Tensor, cells: int) -> int:
    return max(1, _NUMBERS // (len(gallery) * cells**2))
