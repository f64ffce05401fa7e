"""Which of the unlabelled images a pretraining sees: the best-scored share, or a random one.

Source: catastrophic forgetting score (CFS, arXiv 2111.12084), which keeps the images whose features
change least when a pretrained network is fine-tuned. Its code is not published, only a list of
LUPerson in the order of the score; the score that `reid select` works out is our reconstruction.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reid.errors import DataError, ParamsError


@dataclass(frozen=True)
class Scores:
    """How well each image of a dataset suits a pretraining.

    Args:
        source: Where the scores came from, for messages.
        by_path: Finite score of each path in the manifest; higher is better.
    """

    source: str
    by_path: Mapping[str, float]

    def of(self, paths: Sequence[str]) -> NDArray[np.float64]:
        """Return the score of each path [N].

        Raises:
            DataError: An image has no score, or a scored path is no image.
        """
        lost = [path for path in paths if path not in self.by_path]
        known = next(iter(self.by_path), "")
        if lost:
            raise DataError(
                f"{self.source}: {len(lost)} of {len(paths)} images have no score, first "
                f"'{lost[0]}' (the file begins with '{known}')",
                "a score for each image, by its path in the manifest",
                "Score the dataset again with `reid select`, or correct the paths in the file.",
            )
        if strange := self.by_path.keys() - set(paths):
            raise DataError(
                f"{self.source}: {len(strange)} of {len(self.by_path)} paths are no images of the "
                f"dataset, first '{min(strange)}'",
                "the images of the dataset and no others",
                "Take the scores of this dataset, or score it again with `reid select`.",
            )
        return np.array([self.by_path[path] for path in paths], np.float64)


def select(
    paths: Sequence[str], share: float, scores: Scores | None, seed: int
) -> NDArray[np.int64]:
    """Choose a share of the images, the same whatever their order.

    A smaller share is part of a larger one. Of equal scores the first path is taken.

    Args:
        paths: Paths of the manifest [N], none twice.
        share: Above 0 and at most 1; the count is rounded, and is at least 1.
        scores: The best are chosen; None chooses at random.
        seed: Of the random choice.

    Returns:
        Ascending indices into `paths`.

    Raises:
        ParamsError: The share is none.
        DataError: The scores are not those of these images.
    """
    if not 0 < share <= 1:
        raise ParamsError(f"share {share}", "more than 0 and at most 1", "Correct the share.")
    if share == 1 and scores is None:
        return np.arange(len(paths))
    values = _draws(paths, seed) if scores is None else scores.of(paths)
    order = np.array(sorted(range(len(paths)), key=paths.__getitem__), np.int64)
    best = order[np.argsort(-values[order], kind="stable")]
    count = max(1, math.floor(share * len(paths) + 0.5))
    return np.sort(best[:count])


def _draws(paths: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Draw a number from 0 to 1 for each path, which no other path has a part in."""
    digests = (hashlib.sha256(f"{seed}\n{path}".encode()).digest() for path in paths)
    numbers = (int.from_bytes(digest[:8]) / 2**64 for digest in digests)
    return np.fromiter(numbers, np.float64, len(paths))
