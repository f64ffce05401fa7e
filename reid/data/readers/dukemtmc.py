"""The layouts of DukeMTMC-reID and Occluded-Duke: three folders, and lists for the second."""

import re
from collections.abc import Callable, Sequence

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import require_listed
from reid.data.readers.reading import LIST_FILE, UNLISTED, Reading, Row
from reid.data.readers.sorting import (
    Judge,
    any_named,
    find_home,
    homes_of,
    judge_by_folder,
    nothing_known,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage

LAYOUT = "dukemtmcreid"
OCCLUDED_LAYOUT = "occluded_duke"
PARSER_VERSION = 1
CAMERA_COUNT = 8
ETHICS = EthicsRecord(
    licence="withdrawn by its authors in 2019, only to reproduce published numbers",
    status="withdrawn",
    consent="no",
)

SPLIT_FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
MARKERS = tuple(f"{folder}/" for folder in SPLIT_FOLDERS)
LISTS = {
    "train.list": "bounding_box_train",
    "query.list": "query",
    "gallery.list": "bounding_box_test",
}
LIKE = "query/0005_c2_f0046985.jpg"

NAME = re.compile(r"(?P<pid>[0-9]{4})_c(?P<cam>[0-9])_f(?P<frame>[0-9]{7})(?i:\.jpg)")


def is_dukemtmcreid(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of DukeMTMC-reID."""
    return _is_duke_tree(paths) and not _has_lists(paths)


def is_occluded_duke(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of Occluded-Duke."""
    return _is_duke_tree(paths) and _has_lists(paths)


def read_dukemtmcreid(storage: Storage) -> Reading:
    """Read files in the layout of DukeMTMC-reID.

    The frame counters of the cameras do not agree, so rows have no timestamp.

    Args:
        storage: Folder or archive that holds `bounding_box_train`, here or further down.

    Raises:
        DataError: A split folder is missing or holds no image of the layout.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    return _read(storage, paths, home, LAYOUT, judge, nothing_known)


def read_occluded_duke(storage: Storage) -> Reading:
    """Read files in the layout of Occluded-Duke; only images in its lists are used.

    Args:
        storage: Folder or archive that holds `train.list`, `query.list`, `gallery.list` and the
            folders of DukeMTMC-reID, here or further down.

    Raises:
        DataError: A folder, a list or a listed image is missing, or a split is empty.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    lists = {home + name for name in LISTS}
    listed = _read_lists(storage, home)

    def judge_listed(path: str) -> Row | str:
        verdict = judge(path, occluded=True)
        return UNLISTED if isinstance(verdict, Row) and home + path not in listed else verdict

    def known(path: str) -> str | None:
        return LIST_FILE if path in lists else None

    reading = _read(storage, paths, home, OCCLUDED_LAYOUT, judge_listed, known)
    require_listed(storage, listed, reading.rows)
    return reading


def judge(path: str, *, occluded: bool = False) -> Row | str:
    """Make a row of an image by its path below the home of the data set.

    Args:
        path: Folder of a split and name.
        occluded: Whether the data set has occluded queries only; of other images it says nothing.
    """

    def make(split: str, name: re.Match[str]) -> Row:
        return Row(
            path=path,
            split=split,
            pid=int(name["pid"]),
            camid=int(name["cam"]) - 1,
            cam_raw=name["cam"],
            frame=int(name["frame"]),
            occluded=True if occluded and split == "query" else None,
        )

    return judge_by_folder(path, SPLIT_FOLDERS, NAME, make)


def _read(
    storage: Storage,
    paths: Sequence[str],
    home: str,
    layout: str,
    decide: Judge,
    known: Callable[[str], str | None],
) -> Reading:
    rows, ignored = sort_files(paths, home, decide, known)
    require_splits(rows, storage, tuple(SPLIT_FOLDERS.values()), LIKE)
    return Reading(
        layout=layout,
        parser_version=PARSER_VERSION,
        benchmark=layout,
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def _is_duke_tree(paths: Sequence[str]) -> bool:
    return bool(homes_of(paths, MARKERS)) and any_named(paths, "bounding_box_train", NAME)


def _has_lists(paths: Sequence[str]) -> bool:
    return any(homes_of(paths, (name,)) for name in LISTS)


def _read_lists(storage: Storage, home: str) -> dict[str, str]:
    """Find which list names each image, by its path."""
    listed = {}
    for source, folder in LISTS.items():
        for name in storage.read_text(home + source).split():
            listed[f"{home}{folder}/{name}"] = source
    return listed
