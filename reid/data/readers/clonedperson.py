"""The layout of ClonedPerson: synthetic persons in scenes of several cameras each."""

import re
from collections.abc import Iterable, Mapping, Sequence

from reid.data.manifest import EthicsRecord
from reid.data.readers.randperson import NAME, raw_camera, scene_row
from reid.data.readers.reading import Reading, Row
from reid.data.readers.sorting import (
    any_named,
    find_home,
    homes_of,
    judge_by_folder,
    nothing_known,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage

LAYOUT = "clonedperson"
PARSER_VERSION = 1
CAMERA_COUNT = 24
ETHICS = EthicsRecord(licence="research use only", status="research", consent="synthetic")

SPLIT_FOLDERS = {"train": "train", "test/query": "query", "test/gallery": "gallery"}
MARKERS = tuple(f"{folder}/" for folder in SPLIT_FOLDERS)


def is_clonedperson(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of ClonedPerson."""
    return bool(homes_of(paths, MARKERS)) and any_named(paths, "train", NAME)


def read_clonedperson(storage: Storage) -> Reading:
    """Read files in the layout of ClonedPerson.

    A camera is a pair of scene and camera, numbered by its rank among all pairs of the data set;
    so its number differs in a part that lacks cameras.

    Args:
        storage: Folder or archive that holds `train`, `test/query` and `test/gallery`, here or
            further down.

    Raises:
        DataError: A split folder is missing or holds no image of the layout.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    cameras = rank_cameras(path.removeprefix(home) for path in paths if path.startswith(home))
    rows, ignored = sort_files(paths, home, lambda path: judge(path, cameras), nothing_known)
    require_splits(rows, storage, tuple(SPLIT_FOLDERS.values()), "train/700000_s02_c00_f013907.jpg")
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=LAYOUT,
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def judge(path: str, cameras: Mapping[str, int]) -> Row | str:
    """Make a row of an image by its path below the home of the data set.

    Args:
        path: Folder of a split and name.
        cameras: Canonical camera by the camera as written.
    """

    def make(split: str, name: re.Match[str]) -> Row:
        return scene_row(split, name, cameras[raw_camera(name)])

    return judge_by_folder(path, SPLIT_FOLDERS, NAME, make)


def rank_cameras(paths: Iterable[str]) -> dict[str, int]:
    """Number the cameras in the order of scene and camera.

    Args:
        paths: Files below the home of the data set; those of no split do not count.

    Returns:
        Canonical camera by the camera as written.
    """
    seen = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        match = NAME.fullmatch(name) if folder in SPLIT_FOLDERS else None
        if match:
            seen.add(raw_camera(match))
    return {camera: rank for rank, camera in enumerate(sorted(seen))}
