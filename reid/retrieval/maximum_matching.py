"""Scores of pairs by maximum matching: the cells of two images, compared each with each.

Shengcai Liao and Ling Shao, TransMatcher: Deep Image Matching Through Transformers for
Generalizable Person Re-identification, NeurIPS 2021 (arXiv 2105.14432).

Nearly all of the work is the matrix product of a query with a gallery image. The products of one
query with a small group of images fill a tile that stays in the cache of a core until both maxima
are taken. The heads of many pairs are one product. All products have the same shape whatever is
asked for, each thread makes its own on a single core, and images start at multiples of `_ALIGNED`
cells, so a score depends neither on the other rows of a call nor on the number of threads.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from reid.errors import EvaluationError
from reid.retrieval.device import check_device
from reid.retrieval.device_matching import device_scores
from reid.retrieval.features import DoubleArray, FloatArray
from reid.retrieval.matching_kernels import take_maxima, weigh_positive
from reid.retrieval.pair_scorer import MatchingLayer, PairPrecision
from reid.retrieval.pair_scoring import check_rows

# bytes of similarities of a query and a group of gallery images, in the second-level cache
_TILE = 600_000
# gallery images in a group at most
_LARGEST_GROUP = 32
# rows that go through the head at once, two for each pair
_HEAD_ROWS = 256
# cells; the last place of an image in a product must round as the first
_ALIGNED = 16
# numbers that a product sums at a time: where some are left over, rows may round by their place
_SUMMED = 4
# bytes
_CACHE_LINE = 64


class MaximumMatching:
    """Scores pairs by the largest similarity of each cell to the cells of the other image.

    Args:
        layers: Each compares its own part of the rows; their scores are summed.
        width: Numbers that a cell has in each layer, d.
        constant: Added to each score.
        symmetric: All priors are symmetric.
        precision: Of the similarities: `bf16` rounds the cells to bfloat16. The rest is `fp32`.
        device: Where it runs: `cpu` or a device of torch.

    Attributes:
        shape: [layers, L, d] of what is kept of one image.
        flops: Floating-point operations for one pair.
        symmetric: As given.

    Raises:
        EvaluationError: Layers do not fit each other, or there is no such precision or device.
    """

    def __init__(
        self,
        layers: Sequence[MatchingLayer],
        width: int,
        constant: float,
        *,
        symmetric: bool,
        precision: PairPrecision = "fp32",
        device: str = "cpu",
    ) -> None:
        _check(layers, precision)
        if device != "cpu":
            check_device(device)
        self.layers = list(layers)
        self.constant = constant
        self.symmetric = symmetric
        self.precision = precision
        self.device = device
        cells = len(layers[0].prior)
        self.shape: tuple[int, ...] = (len(layers), cells, width)
        self.flops = float(
            sum(2 * cells**2 * width + 4 * len(x.head_bias) * (cells + 1) for x in layers)
        )
        padding = [(0, 0), (0, _padded(cells, _SUMMED) - cells)]
        self._heads = [_aligned(np.pad(layer.head_weight, padding)) for layer in layers]

    def scores(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        """Return the scores [Q, G] of rows [Q, F] and [G, F]; larger means more alike.

        On the CPU half of the pairs is computed if both are the same array and the scorer is
        symmetric.

        Raises:
            EvaluationError: Rows of another length.
        """
        mine, others = self._parts(queries), self._parts(gallery)
        if self.device != "cpu":
            is_narrow = self.precision == "bf16"
            sums = device_scores(self.layers, mine, others, self.device, is_narrow)
            return sums + np.float32(self.constant)
        found = np.empty((len(queries), len(gallery)), np.float32)
        half = self.symmetric and queries is gallery
        _, cells, width = self.shape
        group, hidden = group_size(cells), len(self.layers[0].head_bias)

        def work(tasks: Iterator[_Task]) -> None:
            room = _Room(group, cells, width, hidden, self.precision)
            for task in tasks:
                self._fill(task, mine, others, room, found)

        _over_tasks(work, _tasks(len(queries), len(gallery), group, half))
        if half:
            for row in range(len(found)):
                found[row + 1 :, row] = found[row, row + 1 :]
        return found

    def _parts(self, rows: FloatArray) -> FloatArray:
        """Return rows as [n, layers, L, d]; a view."""
        check_rows(rows.shape, self.shape)
        return rows.reshape(-1, *self.shape)

    def _fill(
        self, task: "_Task", queries: FloatArray, gallery: FloatArray, room: "_Room", to: FloatArray
    ) -> None:
        """Score the pairs of a task."""
        group = room.group
        totals = np.zeros(len(room.rows) // 2)
        for number, layer in enumerate(self.layers):
            pairs = iter(room.rows.numpy().reshape(-1, group, 2, room.rows.shape[1]))
            for start in task.groups:
                room.load_group(gallery[start : start + group, number])
                for query in range(task.first, task.last(start, group)):
                    tiles = room.product(queries[query, number])
                    take_maxima(tiles, layer.prior, next(pairs))
            torch.mm(room.rows, self._heads[number].T, out=room.hidden)
            weigh_positive(room.hidden.numpy(), layer.head_bias, layer.output_weight, totals)
        self._write(task, totals.reshape(-1, group), to)

    def _write(self, task: "_Task", totals: DoubleArray, to: FloatArray) -> None:
        done = 0
        for start in task.groups:
            last = task.last(start, totals.shape[1])
            part = to[task.first : last, start : start + totals.shape[1]]
            part[:] = totals[done : done + len(part), : part.shape[1]] + self.constant
            done += len(part)


class _Task(NamedTuple):
    """Queries `first` to `stop` against the groups of gallery images that start at `groups`.

    With `half`, queries behind the last image of a group are left out.
    """

    first: int
    stop: int
    groups: range
    half: bool

    def last(self, start: int, group: int) -> int:
        """Return the end of the queries for the group that starts at `start`."""
        return max(self.first, min(self.stop, start + group)) if self.half else self.stop


def _tasks(queries: int, gallery: int, group: int, half: bool) -> list[_Task]:
    """Cut all pairs into tasks whose heads are one product each."""
    units = _HEAD_ROWS // (2 * group)
    stretch = max(1, min(queries, units))
    step = group * (units // stretch)
    return [
        _Task(
            first,
            min(first + stretch, queries),
            range(start, min(start + step, gallery), group),
            half,
        )
        for start in range(0, gallery, step)
        for first in range(0, queries, stretch)
        if not half or first < start + step
    ]


class _Room:
    """What a thread works in.

    Args:
        group: Gallery images in a group.
        cells: Of an image, L.
        width: Of a cell, d.
        hidden: Width of the head, H.
        precision: Of the similarities.

    Attributes:
        rows: Maxima of the pairs of a task, then zeros [_HEAD_ROWS, >= L].
        hidden: First product of the head [_HEAD_ROWS, H].
    """

    def __init__(
        self, group: int, cells: int, width: int, hidden: int, precision: PairPrecision
    ) -> None:
        padded = _padded(cells, _ALIGNED)
        self.group = group
        self.rows = torch.zeros(_HEAD_ROWS, _padded(cells, _SUMMED))
        self.hidden = torch.empty(_HEAD_ROWS, hidden)
        self._gallery = torch.zeros(group, padded, _padded(width, _SUMMED))
        self._query = torch.zeros(cells, _padded(width, _SUMMED))
        self._tiles = torch.empty(group, padded, cells)
        self._rounds = precision == "bf16"
        self._narrow: tuple[Tensor, Tensor, Tensor] | None = None
        if self._rounds and slow_bf16() is None:
            narrow = self._gallery.bfloat16(), self._query.bfloat16(), self._tiles.bfloat16()
            self._narrow = narrow

    def load_group(self, images: FloatArray) -> None:
        """Copy the cells of some gallery images [n, L, d]; those missing in the group are zeros."""
        room = self._gallery.numpy()
        room[: len(images), : images.shape[1], : images.shape[2]] = images
        room[len(images) :] = 0
        if self._narrow:
            self._narrow[0].copy_(self._gallery)
        elif self._rounds:
            self._gallery.copy_(self._gallery.bfloat16())

    def product(self, query: FloatArray) -> FloatArray:
        """Return the similarities of the group to the cells of a query [L, d]: [group, >= L, L]."""
        if self._narrow:
            gallery, mine, tiles = self._narrow
            mine.copy_(self._placed(query))
            torch.mm(gallery.flatten(0, 1), mine.T, out=tiles.view(-1, len(mine)))
            self._tiles.copy_(tiles)
        else:
            placed = self._placed(query)
            mine = placed.bfloat16().float() if self._rounds else placed
            torch.mm(self._gallery.flatten(0, 1), mine.T, out=self._tiles.view(-1, len(mine)))
        found: FloatArray = self._tiles.numpy()
        return found

    def _placed(self, query: FloatArray) -> Tensor:
        """Return a query at an address from which products always round alike."""
        fits = query.shape == self._query.shape
        if fits and query.flags.writeable and query.ctypes.data % _CACHE_LINE == 0:
            return torch.from_numpy(query)
        self._query.numpy()[:, : query.shape[1]] = query
        return self._query


def slow_bf16() -> str | None:
    """Return why products in bfloat16 are no faster on this CPU, or None where they are.

    Where they are not, cells are rounded to bfloat16 and their products are made in float32.
    """
    if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported():
        return None
    return "the CPU has no instructions for products in bfloat16"


def group_size(cells: int) -> int:
    """Return how many gallery images share a product, a power of two."""
    size = 1
    while size < _LARGEST_GROUP and 2 * size * 4 * cells**2 <= _TILE:
        size *= 2
    return size


def _over_tasks(work: Callable[[Iterator[_Task]], None], tasks: list[_Task]) -> None:
    """Call `work` in as many threads as torch has; together the calls see every task once."""
    shared = iter(tasks)  # handing out from a list is atomic
    threads = torch.get_num_threads()
    if threads == 1:
        work(shared)
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            jobs = [pool.submit(work, shared) for _ in range(min(threads, len(tasks)))]
    finally:
        torch.set_num_threads(threads)
    for job in jobs:
        job.result()


def _padded(cells: int, multiple: int) -> int:
    """Return the next multiple."""
    return -(-cells // multiple) * multiple


def _aligned(matrix: FloatArray) -> Tensor:
    """Return a copy that starts where products always round alike."""
    return torch.from_numpy(matrix).clone(memory_format=torch.contiguous_format)


def _check(layers: Sequence[MatchingLayer], precision: str) -> None:
    shapes = {(x.prior.shape, x.head_weight.shape, len(x.head_bias)) for x in layers}
    if len(shapes) != 1:
        raise EvaluationError(
            f"{len(shapes)} different shapes of matching layers",
            "one or more layers of one shape",
            "Build all layers for one size of images.",
        )
    if precision not in get_args(PairPrecision):
        raise EvaluationError(
            f"precision '{precision}' of a matching",
            f"one of {', '.join(get_args(PairPrecision))}",
            "Correct it.",
        )
