"""The layout of Market-1501: three folders, everything else in the file name."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, get_args

from reid.data.manifest import EthicsRecord
from reid.data.readers.reading import BAD_NAME, OTHER_FOLDER, Reading, Row
from reid.data.readers.sorting import (
    any_named,
    find_home,
    homes_of,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage
from reid.errors import DataError, ParamsError

TimeMode = Literal["recorded", "qaconv"]

LAYOUT = "market1501"
PARSER_VERSION = 1
CAMERA_COUNT = 6
FRAMES_PER_SECOND = 25
ETHICS = EthicsRecord(
    licence="research use only, not to be redistributed", status="research", consent="no"
)

SPLIT_FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
MARKERS = tuple(f"{folder}/" for folder in SPLIT_FOLDERS)
DISTRACTOR_FOLDER = "images"
DISTRACTORS_OFF = "the 500k option is off"

# The camera is any digit, so that a camera 9 is a finding of the gate and not a lost file.
NAME = re.compile(
    r"(?P<pid>-1|[0-9]{4})_c(?P<cam>[0-9])s(?P<seq>[0-9])_(?P<frame>[0-9]{6})_(?P<box>[0-9]{2})"
    r"(?i:\.jpg(?:\.jpg)?)"
)


def is_market1501(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of Market-1501."""
    return bool(homes_of(paths, MARKERS)) and any_named(paths, "bounding_box_train", NAME)


def read_market1501(
    storage: Storage, *, use_500k: bool = False, time_mode: TimeMode = "recorded"
) -> Reading:
    """Read files in the layout of Market-1501.

    Args:
        storage: Folder or archive that holds `bounding_box_train`, here or further down.
        use_500k: Add the distractors in `images/` to the gallery.
        time_mode: How frames of several sequences become one time. `recorded` lays the sequences
            of a camera end to end; `qaconv` repeats the offsets of QAConv (Liao and Shao, 2020),
            which count earlier sequences more than once from the third on.

    Raises:
        DataError: A split folder is missing or holds no image of the layout.
        ParamsError: There is no such time mode.
    """
    if time_mode not in get_args(TimeMode):
        expected = f"one of {', '.join(get_args(TimeMode))}"
        raise ParamsError(f"time_mode '{time_mode}'", expected, "Correct the option.")
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)

    def known(path: str) -> str | None:
        folder = path.removeprefix(home).rpartition("/")[0]
        if folder == DISTRACTOR_FOLDER and not use_500k:
            return DISTRACTORS_OFF
        if folder not in ("", *SPLIT_FOLDERS, DISTRACTOR_FOLDER):
            return OTHER_FOLDER
        return None

    rows, ignored = sort_files(paths, home, judge, known)
    require_splits(
        [row for row in rows if not _is_extra(row)],
        storage,
        tuple(SPLIT_FOLDERS.values()),
        "query/0002_c1s1_000451_03.jpg",
    )
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark="market1501_500k" if use_500k else "market1501",
        rows=tuple(add_timestamps(rows, time_mode)),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def judge(path: str) -> Row | str:
    """Make a row of an image by its path below the home of the data set."""
    folder, _, name = path.rpartition("/")
    match = NAME.fullmatch(name)
    if not folder:
        return OTHER_FOLDER
    return BAD_NAME if match is None else parse_row(path)


def parse_row(path: str) -> Row:
    """Read the row of an image from its path, which must match the layout."""
    folder, name = path.split("/")[-2:]
    match = NAME.fullmatch(name)
    if match is None:
        raise DataError(f"{path}: not a Market-1501 name", "0002_c1s1_000451_03.jpg", "Rename it.")
    pid = int(match["pid"])
    return Row(
        path=path,
        split=SPLIT_FOLDERS.get(folder, "gallery"),
        pid=pid,
        camid=int(match["cam"]) - 1,
        cam_raw=match["cam"],
        flag={-1: "junk", 0: "distractor"}.get(pid, "ok"),
        session=match["seq"],
        frame=int(match["frame"]),
    )


def add_timestamps(rows: Iterable[Row], time_mode: TimeMode) -> list[Row]:
    """Give each row the seconds since its camera's first sequence began."""
    rows = list(rows)
    last_frame: dict[tuple[str, int], int] = {}
    for row in rows:
        # QAConv drops junk before it looks for the last frame of a sequence. The distractors of
        # the 500k option are left out, so that the option alters no other row.
        if not _is_extra(row) and not (time_mode == "qaconv" and row.flag == "junk"):
            key = _camera_and_sequence(row)
            last_frame[key] = max(last_frame.get(key, 0), row.frame or 0)
    start: dict[tuple[str, int], int] = {}
    for camera in {row.cam_raw or "" for row in rows}:
        begin = 0
        for sequence in range(10):
            start[camera, sequence] = begin
            if (camera, sequence) in last_frame:
                again = begin if time_mode == "qaconv" else 0
                begin += last_frame[camera, sequence] + again
    return [
        replace(
            row,
            timestamp=(start[_camera_and_sequence(row)] + (row.frame or 0)) / FRAMES_PER_SECOND,
        )
        for row in rows
    ]


def _camera_and_sequence(row: Row) -> tuple[str, int]:
    return row.cam_raw or "", int(row.session or 0)


def _is_extra(row: Row) -> bool:
    return row.path.split("/")[-2] == DISTRACTOR_FOLDER
