"""Distances and neighbours by matrix products on an accelerator, through torch.

Products there round in another way than on the CPU, so plain distances agree to single precision.
Neighbour lists agree, as near ties are decided in float64 on the CPU.
"""

from collections.abc import Iterator

import numpy as np
import torch

from reid.errors import EvaluationError, first_line
from reid.progress import Advance
from reid.retrieval.distance import check_block_size
from reid.retrieval.features import FeatureRows, FloatArray
from reid.retrieval.neighbours import SPARE, Neighbours, refined

# rows of a product; fixed, so that a distance does not depend on the block size
_ROWS = 512


def check_device(device: str) -> None:
    """Raise `EvaluationError` unless torch knows the device and can use it."""
    try:
        # some devices take numbers and never give them back
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise EvaluationError(
            f"device '{device}': {first_line(error)}",
            "cpu, or a device of this machine such as cuda",
            "Choose another device.",
        ) from None


def device_blocks(
    query: FeatureRows, gallery: FeatureRows, device: str, block_size: int
) -> Iterator[FloatArray]:
    """Yield squared Euclidean distances [b, G] (see `distance_blocks`)."""
    check_block_size(block_size)
    theirs = _on_device(gallery, device)
    for start in range(0, len(query), block_size):
        stop = min(start + block_size, len(query))
        tiles = range(start - start % _ROWS, stop, _ROWS)
        parts = [_distances(_part(query, row, device), theirs).cpu().numpy() for row in tiles]
        yield np.concatenate(parts)[start - tiles[0] : stop - tiles[0]]


def device_neighbours(
    features: FeatureRows, count: int, device: str, advance: Advance
) -> Neighbours:
    """Find the nearest rows of each row (see `nearest_neighbours`)."""
    total = len(features)
    everyone = _on_device(features, device)
    longest = min(count + SPARE, total)
    indices = np.empty((total, longest), np.int32)
    distances = np.empty((total, longest), np.float32)
    row_maximum = np.empty(total, np.float32)
    for start in range(0, total, _ROWS):
        stop = min(start + _ROWS, total)
        tile = _distances((everyone[0][start:stop], everyone[1][start:stop]), everyone)
        # an image is at distance 0 from itself
        tile[torch.arange(stop - start), torch.arange(start, stop)] = 0
        nearest = tile.topk(longest, dim=1, largest=False)
        indices[start:stop] = nearest.indices.cpu().numpy()
        distances[start:stop] = nearest.values.cpu().numpy()
        row_maximum[start:stop] = tile.amax(dim=1).cpu().numpy()
        advance(stop, total)
    return refined(features, indices, distances, row_maximum, count)


Side = tuple[torch.Tensor, torch.Tensor]


def _part(features: FeatureRows, start: int, device: str) -> Side:
    rows = slice(start, start + _ROWS)
    lengths = torch.from_numpy(features.lengths[rows].astype(np.float32))
    return torch.from_numpy(features.take(rows)).to(device), lengths.to(device)


def _on_device(features: FeatureRows, device: str) -> Side:
    parts = [_part(features, start, device) for start in range(0, len(features), _ROWS)]
    rows, lengths = zip(*parts, strict=True)
    return torch.cat(rows), torch.cat(lengths)


def _distances(mine: Side, theirs: Side) -> torch.Tensor:
    """Return squared distances [b, G], at least 0."""
    products = mine[0] @ theirs[0].T
    return (mine[1][:, None] + theirs[1] - 2 * products).clamp_(min=0)
