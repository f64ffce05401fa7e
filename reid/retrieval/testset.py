"""Who, where and what each image of a test set is; a split of it into queries and gallery."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.features import IntArray

TextArray = npt.NDArray[np.str_]


def _no_text() -> TextArray:
    return np.empty(0, np.str_)


@dataclass(frozen=True)
class Split:
    """Which rows of a test set are queries and which are the gallery.

    Args:
        query_rows: [Q].
        gallery_rows: [G].
    """

    query_rows: IntArray
    gallery_rows: IntArray


@dataclass(frozen=True, eq=False)
class TestSet:
    """All rows of a test set but junk, without their features.

    Args:
        name: Name of the dataset.
        person_ids: [N].
        camera_ids: [N].
        roles: `query`, `gallery` or `pool` [N].
        modalities: `rgb` or `ir`; by default all `rgb` [N].
        paths: Their order is that in which images are drawn; by default the order of rows [N].
        draws: Official gallery draws (see `Embeddings`); by default no trial [N, T].

    Raises:
        EvaluationError: Columns differ in length.
    """

    __test__ = False  # not for pytest to collect

    name: str
    person_ids: IntArray
    camera_ids: IntArray
    roles: TextArray
    modalities: TextArray = field(default_factory=_no_text)
    paths: TextArray = field(default_factory=_no_text)
    draws: IntArray = field(default_factory=lambda: np.empty((0, 0), np.int64))

    def __post_init__(self) -> None:
        rows = len(self.person_ids)
        defaults = {
            "modalities": np.full(rows, "rgb"),
            "paths": np.full(rows, ""),
            "draws": np.empty((rows, 0), np.int64),
        }
        for name, default in defaults.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, default)
        names = ("person_ids", "camera_ids", "roles", *defaults)
        sizes = {name: len(getattr(self, name)) for name in names}
        if set(sizes.values()) != {rows}:
            raise EvaluationError(
                f"{self.name}: columns {sizes}", "one value for each image", "Correct them."
            )

    @classmethod
    def of(cls, name: str, embeddings: Embeddings, rows: IntArray) -> "TestSet":
        """Take the given rows of embeddings, in the given order."""
        return cls(
            name,
            embeddings.person_ids[rows],
            embeddings.camera_ids[rows],
            embeddings.roles[rows],
            embeddings.modalities[rows],
            embeddings.paths[rows],
            embeddings.draws[rows],
        )
