"""The image cells of CUHK03's `cuhk-03.mat`, which is HDF5 (MATLAB 7.3).

The file holds decoded pixels, so a member is given as a binary PPM file: the pixels behind a short
header, the same bytes with every version of every library.
"""

import os
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from reid.data.storage.base import Storage
from reid.errors import DataError

if TYPE_CHECKING:
    import h5py

VARIANTS = ("detected", "labeled")
"""How the boxes were found: by a detector or by hand."""

_FIRST_OF_SECOND_CAMERA = 6
_TEST_SETS = "testsets"
# What h5py raises for a damaged file, or for one with other things at the expected places.
_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, AttributeError, LookupError)

T = TypeVar("T")


class CuhkCells:
    """The images of the classic CUHK03 file.

    Members are `<variant>/<pair>_<person:03>_<view>_<index:02>.png`, the names under which the
    protocols of the data set list them: pair of cameras, person of the pair and image from 1 to 10,
    of which 6 to 10 are view 2. A process opens the file at its first read.

    Args:
        storage: The data set.
        name: Path of the file in it.

    Raises:
        DataError: The file is not HDF5, or lacks the two variants or the test sets.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._name = storage, name
        self._files: dict[int, Any] = {}
        self._lock = threading.Lock()  # the library itself reads one cell at a time
        missing = self._ask(lambda file: [part for part in _PARTS if part not in file])
        if missing:
            raise self._damaged(f"it lacks {', '.join(missing)}")

    def members(self) -> Iterator[str]:
        """Names of the images that exist, in byte order."""
        yield from sorted(self._cells)

    def read(self, member: str) -> bytes:
        """The image as a PPM file; `KeyError` if there is none of that name."""
        reference = self._cells[member]
        # MATLAB counts columns first: the cell is [C, W, H]
        pixels = self._ask(lambda file: np.asarray(file[reference]).T)
        height, width, channels = pixels.shape
        if channels != 3 or pixels.dtype != np.uint8:
            raise self._damaged(f"{member} is {channels} of {pixels.dtype}, not RGB of 8 bits")
        return f"P6 {width} {height} 255\n".encode() + np.ascontiguousarray(pixels).tobytes()

    def test_sets(self) -> list[list[tuple[int, int]]]:
        """The test persons of each of the classic splits, as (pair, person), both from 1."""
        tables = self._ask(
            lambda file: [np.asarray(file[cell], np.int64).T for cell in file[_TEST_SETS][0]]
        )
        return [[(int(pair), int(person)) for pair, person in table] for table in tables]

    def persons(self, variant: str) -> list[int]:
        """How many persons each pair of cameras has, with or without images."""
        return self._ask(lambda file: [file[cell].shape[1] for cell in file[variant][0]])

    @cached_property
    def _cells(self) -> dict[str, Any]:
        """Reference to each image by its name; an empty cell is no image."""
        return self._ask(lambda file: dict(_images(file)))

    def _ask(self, question: Callable[[Any], T]) -> T:
        try:
            with self._lock:
                return question(self._file())
        except _DAMAGE as error:
            raise self._damaged(" ".join(str(error).split())) from None

    def _damaged(self, reason: str) -> DataError:
        return DataError(
            f"{self._storage.root}: {self._name} cannot be read ({reason})",
            "cuhk-03.mat of the data set's release",
            "Copy the file again.",
        )

    def _file(self) -> "h5py.File":
        import h5py

        process = os.getpid()
        if process not in self._files:
            self._files[process] = h5py.File(self._storage.open_file(self._name), "r")
        return self._files[process]


_PARTS = (*VARIANTS, _TEST_SETS)


def _images(file: "h5py.File") -> Iterator[tuple[str, Any]]:
    """Name every cell that holds an image."""
    for variant in VARIANTS:
        for pair, reference in enumerate(file[variant][0], start=1):
            # [10, persons]
            for index, row in enumerate(file[reference][:], start=1):
                view = 1 if index < _FIRST_OF_SECOND_CAMERA else 2
                for person, cell in enumerate(row, start=1):
                    if file[cell].ndim == 3:
                        yield f"{variant}/{pair}_{person:03}_{view}_{index:02}.png", cell
