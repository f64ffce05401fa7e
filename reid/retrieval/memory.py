"""How much memory an evaluation may use, and what follows from it."""

from dataclasses import dataclass

from reid.compiled import thread_count
from reid.errors import EvaluationError
from reid.retrieval.distance import TILE
from reid.retrieval.neighbours import SPARE
from reid.retrieval.pair_distances import GATHERED

BLOCK_SIZE = 512
# bytes of distances that may be kept, with or without a bound
KEPT = 512 * 10**6
# copies of all features as float32 that some work takes beside them
EXPANSION_COPIES, APPROXIMATE_COPIES, VARIANT_COPIES = 4, 1, 4
_MEGABYTE = 10**6
_FLOAT, _LONG = 4, 8
# numbers of 8 bytes that are held for each image, each query, and each query and camera
_PER_IMAGE, _PER_QUERY, _PER_CAMERA = 8, 64, 4
# numbers of 8 bytes for each genuine pair, while impostors are counted around it, and how many more
# for each thread
_PER_PAIR, _PER_PAIR_AND_THREAD = 16, 2
# bytes for each cell of the table of that count, of which there are this many at most
_CELL, _CELLS_PER_PAIR, _MOST_CELLS = 40, 32, 1 << 20
# rows, their inverted index, and one of the two in another order
_WEIGHTS = 3
# features that are converted at once
_CONVERTED = 4096


@dataclass(frozen=True)
class Sizes:
    """What the memory of an evaluation depends on.

    Args:
        queries: Q.
        gallery: G.
        width: Numbers in a feature, D.
        longest: Length of the neighbour lists; 0 without re-ranking.
        averaged: Rows averaged into each row of weights, k2 of the paper.
        genuine: Genuine pairs that are counted; 0 if none are.
        cameras: Cameras of the gallery.
        copies: Of all features, beside them (see `EXPANSION_COPIES` and the like).
        variants: Whether variants of re-ranking are scored too.
    """

    queries: int
    gallery: int
    width: int
    longest: int = 0
    averaged: int = 6
    genuine: int = 0
    cameras: int = 0
    copies: int = 0
    variants: bool = False

    @property
    def images(self) -> int:
        """Queries and gallery together, N."""
        return self.queries + self.gallery

    @property
    def features(self) -> int:
        """Bytes of all features as float32."""
        return self.images * self.width * _FLOAT

    @property
    def distances(self) -> int:
        """Bytes of all distances of queries to gallery."""
        return self.queries * self.gallery * _FLOAT

    @property
    def row(self) -> int:
        """Bytes of one row of distances, twice: it is kept while the next one is made."""
        if self.variants:
            # against all images, and all images against the queries, which are sorted; a pool
            # counts as gallery, but may be queries
            return 2 * self.images * (_FLOAT + _LONG)
        return 2 * self.gallery * _FLOAT

    @property
    def fixed(self) -> int:
        """Bytes that are needed whatever the size of the blocks."""
        per_query = _PER_QUERY + self.cameras * _PER_CAMERA
        held = (self.images * _PER_IMAGE + self.queries * per_query) * _LONG
        held += self.copies * self.features
        # one after the other
        converting = 2 * min(self.images, _CONVERTED) * self.width * _FLOAT
        return held + max(converting, self._plain, self._pairs, self._reranking)

    @property
    def _tiles(self) -> int:
        return thread_count() * TILE * (4 * TILE + 3 * self.width) * _FLOAT

    @property
    def _plain(self) -> int:
        """Bytes of ranking a block, with what each thread holds beside it."""
        return thread_count() * self.gallery * (_FLOAT + _LONG) + self._tiles

    @property
    def _pairs(self) -> int:
        if not self.genuine:
            return 0
        pair = (_PER_PAIR + thread_count() * _PER_PAIR_AND_THREAD) * _LONG
        cells = min(self.genuine * _CELLS_PER_PAIR, _MOST_CELLS)
        return self.genuine * pair + cells * _CELL + self._tiles

    @property
    def _reranking(self) -> int:
        if not self.longest:
            return 0
        lists = self.images * (self.longest + SPARE) * 3 * _LONG
        # a row of weights has at most k2 + 1 entries for each neighbour: measured on features with
        # and without clusters, where it was below 0.9 k2 + 0.6
        entries = self.images * self.longest * (self.averaged + 1)
        weights = entries * _WEIGHTS * (_FLOAT + _FLOAT)
        gathered = GATHERED * (self.longest + SPARE) * self.width * _FLOAT
        return self._plain + lists + max(weights, gathered)


@dataclass(frozen=True)
class Plan:
    """How an evaluation stays within its memory.

    Args:
        block_size: Queries per block.
        hold: Whether all features lie in memory as float32.
        keep: Whether the distances of queries to gallery are kept from the search for neighbours.
    """

    block_size: int = BLOCK_SIZE
    hold: bool = True
    keep: bool = False

    @classmethod
    def of(cls, sizes: Sizes, memory: int | None) -> "Plan":
        """Choose for a number of bytes; the choice alters time and never a value.

        Args:
            sizes: Of the test set.
            memory: Bytes beyond those of the interpreter and of a mapped feature file; None for
                no bound.

        Raises:
            EvaluationError: Not even one query at a time fits.
        """
        if memory is None:
            return cls(keep=sizes.distances <= KEPT)
        least = sizes.fixed + sizes.row
        if memory < least:
            raise EvaluationError(
                f"a memory of {_megabytes(memory)} for {sizes.queries} queries x {sizes.gallery} "
                "gallery images",
                f"at least {_megabytes(least)}",
                _remedy(sizes),
            )
        hold = memory >= least + sizes.features
        free = memory - sizes.fixed - (sizes.features if hold else 0)
        block_size = max(1, min(BLOCK_SIZE, free // sizes.row))
        free -= block_size * sizes.row
        return cls(block_size, hold, keep=hold and sizes.distances <= min(free, KEPT))


def _remedy(sizes: Sizes) -> str:
    if sizes.variants:
        return "Raise it, or do without variants of re-ranking."
    return "Raise it, or do without re-ranking." if sizes.longest else "Raise it."


def _megabytes(size: int) -> str:
    return f"{-(-size // _MEGABYTE)} MB"
