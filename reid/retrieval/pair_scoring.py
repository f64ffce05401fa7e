"""Scores of many pairs, block by block: bounded in memory, and resumed after an interruption."""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError, ParamsError
from reid.files import write_whole
from reid.progress import Advance, silent
from reid.retrieval.features import FloatArray, IntArray
from reid.retrieval.pair_scorer import PairScorer
from reid.retrieval.precision import Stored, as_float32

# images on each side of a block; a block is minutes of work at the published size
_SIDE = 256
# bytes that a scorer may take for itself
SCORER_ROOM = 64 * 10**6
# rows that are converted to float32 at once
_CONVERTED = 8
# images on each side that are scored to estimate the time of all
_SAMPLE = 16
_FLOAT, _CACHE_LINE, _MEGABYTE = 4, 64, 10**6


@dataclass(frozen=True)
class Estimate:
    """What scoring a set of pairs takes.

    Args:
        pairs: How many.
        flops: Floating-point operations of all.
        seconds: At the speed of a few pairs that were scored to find out.
    """

    pairs: int
    flops: float
    seconds: float

    @property
    def line(self) -> str:
        """What to say before the start."""
        return f"{self.pairs:,} pairs, {self.flops:.2g} FLOP, about {_duration(self.seconds)}"

    def check(self, hours: float | None) -> None:
        """Raise `ParamsError` if it takes longer than `hours`; None for no bound."""
        if hours is not None and self.seconds > 3600 * hours:
            raise ParamsError(
                f"scoring {self.line}",
                f"at most {hours:g} hours",
                "Raise `evaluation.pairs.hours` in the study, or null it, or use a shortlist.",
            )


def estimate(
    scorer: PairScorer, rows: Stored, query_rows: IntArray, gallery_rows: IntArray
) -> Estimate:
    """Estimate the time to score all pairs of two sets of rows (see `score_matrix`)."""
    pairs = len(query_rows) * len(gallery_rows)
    if _is_half(scorer, query_rows, gallery_rows):
        pairs = (pairs + len(query_rows)) // 2
    queries, gallery = (
        load_rows(rows, side[:_SAMPLE], scorer.shape) for side in (query_rows, gallery_rows)
    )
    scorer.scores(queries, gallery)  # compiles
    started = time.perf_counter()
    sampled = scorer.scores(queries, gallery).size
    seconds = (time.perf_counter() - started) * pairs / max(1, sampled)
    return Estimate(pairs, pairs * scorer.flops, seconds)


def score_matrix(
    scorer: PairScorer,
    rows: Stored,
    query_rows: IntArray,
    gallery_rows: IntArray,
    target: Path,
    key: str,
    *,
    memory: int | None = None,
    advance: Advance = silent,
) -> FloatArray:
    """Score all pairs of two sets of rows into a file.

    A call that was interrupted leaves its blocks beside `target`. The next call with the same
    arguments goes on after the last whole block, and ends in the same bytes; where all was done, it
    computes nothing. Pairs of a set with
    itself are scored once if the scorer is symmetric, with the earlier image as the query.

    Args:
        scorer: Compares two rows.
        rows: [N, F] as stored; may be mapped from a file.
        query_rows: Which of them are queries [Q].
        gallery_rows: Which of them are the gallery [G].
        target: The `.npy` file, which appears when all is done.
        key: Names the model and the rows, for example the digests of both; blocks that were left
            by a call with another key are thrown away.
        memory: Bytes to work with, without the mapped files; None for about 512 rows.
        advance: Called after each block with the pairs done, and all.

    Returns:
        The scores [Q, G], mapped from the file.

    Raises:
        EvaluationError: Rows do not fit the scorer or are not finite, or the memory is too small.
    """
    half = _is_half(scorer, query_rows, gallery_rows)
    side = _side(int(np.prod(scorer.shape)), memory)
    blocks = _blocks(len(query_rows), len(gallery_rows), side, half)
    digest = _digest(key, scorer, rows, query_rows, gallery_rows, side)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = _Unfinished(target, digest, (len(query_rows), len(gallery_rows)), len(blocks))
    done = np.cumsum([block.pairs for block in blocks]).tolist()
    held: tuple[slice, FloatArray] | None = None
    for number, block in enumerate(blocks):
        if number >= work.done:
            if held is None or held[0] != block.queries:
                held = None  # let go of the last queries first
                held = block.queries, load_rows(rows, query_rows[block.queries], scorer.shape)
            # the same array, by which the scorer knows that half is enough
            own = half and block.queries == block.gallery
            others = held[1] if own else load_rows(rows, gallery_rows[block.gallery], scorer.shape)
            work.add(block, scorer.scores(held[1], others), half)
        advance(done[number], done[-1])
    return work.finished()


def load_rows(rows: Stored, chosen: IntArray, shape: tuple[int, ...]) -> FloatArray:
    """Read some rows for a pair scorer.

    Args:
        rows: [N, F] as stored; may be mapped from a file.
        chosen: Which of them [n].
        shape: Of one image, as the scorer keeps it.

    Returns:
        float32 [n, F], from the start of a cache line on.

    Raises:
        EvaluationError: Rows of another length, or numbers that are not finite.
    """
    check_rows(rows.shape, shape)
    width = rows.shape[1]
    room = np.empty(len(chosen) * width + _CACHE_LINE // _FLOAT, np.float32)
    start = (-room.ctypes.data % _CACHE_LINE) // _FLOAT
    found = room[start : start + len(chosen) * width].reshape(len(chosen), width)
    for first in range(0, len(chosen), _CONVERTED):
        part = slice(first, first + _CONVERTED)
        found[part] = as_float32(rows[chosen[part]])
        faulty = chosen[part][~np.isfinite(found[part]).all(axis=1)]
        if len(faulty):
            raise EvaluationError(
                f"NaN or infinity in row {faulty[0]} for a pair scorer",
                "finite numbers",
                "Embed again with a model that gives finite features.",
            )
    return found


@dataclass(frozen=True)
class _Block:
    queries: slice
    gallery: slice

    @property
    def pairs(self) -> int:
        count: int = self.queries.stop - self.queries.start
        return count * int(self.gallery.stop - self.gallery.start)


class _Unfinished:
    """A matrix of scores beside the place where it will be, and how many of its blocks are done."""

    def __init__(self, target: Path, digest: str, shape: tuple[int, int], blocks: int) -> None:
        self._target = target
        self._part = target.with_name(f".{target.name}.part")
        self._record = target.with_name(f".{target.name}.json")
        self._digest, self._blocks = digest, blocks
        self.done = self._known_blocks()
        if self.done:
            mine = self._part if self._part.exists() else target
            self._scores = np.lib.format.open_memmap(mine, "r+")
        else:
            self._scores = np.lib.format.open_memmap(self._part, "w+", np.float32, shape)

    def add(self, block: _Block, scores: FloatArray, mirror: bool) -> None:
        """Write a block, then that it is there."""
        self._scores[block.queries, block.gallery] = scores
        if mirror:
            self._scores[block.gallery, block.queries] = scores.T
        self._scores.flush()
        self.done += 1
        write_whole(self._record, json.dumps({"digest": self._digest, "done": self.done}))

    def finished(self) -> FloatArray:
        """Give the file its name."""
        self._scores.flush()
        del self._scores
        if self._part.exists():
            self._part.replace(self._target)
        scores: FloatArray = np.load(self._target, mmap_mode="r")
        return scores

    def _known_blocks(self) -> int:
        if not self._record.exists():
            return 0
        record = json.loads(self._record.read_text(encoding="utf-8"))
        done = int(record["done"]) if record["digest"] == self._digest else 0
        whole = done == self._blocks and self._target.exists()
        return done if self._part.exists() or whole else 0


def check_rows(found: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Check that an array of rows is what a scorer compares.

    Args:
        found: Shape of the array.
        shape: Of one image, as the scorer keeps it.

    Raises:
        EvaluationError: It is not.
    """
    length = int(np.prod(shape))
    if len(found) != 2 or found[1] != length:
        sizes = " x ".join(str(size) for size in shape)
        raise EvaluationError(
            f"rows of shape {list(found)} for a pair scorer",
            f"{length} numbers in a row ({sizes})",
            "The size of the image is part of the weights: embed with this model, at its size.",
        )


def _is_half(scorer: PairScorer, query_rows: IntArray, gallery_rows: IntArray) -> bool:
    return scorer.symmetric and np.array_equal(query_rows, gallery_rows)


def _side(width: int, memory: int | None) -> int:
    """Return how many images each side of a block has."""
    if memory is None:
        return _SIDE
    row = width * _FLOAT
    fixed = SCORER_ROOM + 3 * _CONVERTED * row
    # scores are written from the block, and once more into the page cache
    side: int = min(_SIDE, (memory - fixed) // (2 * row + _SIDE * 2 * _FLOAT))
    if side < 1:
        least = -(-(fixed + 2 * row + _SIDE * 2 * _FLOAT) // _MEGABYTE)
        raise EvaluationError(
            f"a memory of {memory // _MEGABYTE} MB for pairs of {row / _MEGABYTE:.1f} MB an image",
            f"at least {least} MB",
            "Raise it.",
        )
    return side


def _blocks(queries: int, gallery: int, side: int, half: bool) -> list[_Block]:
    return [
        _Block(slice(q, min(q + side, queries)), slice(g, min(g + side, gallery)))
        for q in range(0, queries, side)
        for g in range(q if half else 0, gallery, side)
    ]


def _digest(
    key: str,
    scorer: PairScorer,
    rows: npt.NDArray[np.generic],
    query_rows: IntArray,
    gallery_rows: IntArray,
    side: int,
) -> str:
    sizes = [key, scorer.shape, scorer.symmetric, str(rows.dtype), rows.shape, side]
    sizes += [len(query_rows), len(gallery_rows)]
    digest = hashlib.sha256(json.dumps(sizes).encode())
    for chosen in (query_rows, gallery_rows):
        digest.update(np.ascontiguousarray(chosen, np.int64).tobytes())
    return digest.hexdigest()


def _duration(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"
