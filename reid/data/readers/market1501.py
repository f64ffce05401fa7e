"""The layout of Market-1501: three folders, everything else in the file name."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from reid.data.manifest import EthicsRecord
from reid.data.readers.reading import (
    BAD_NAME,
    NOT_AN_IMAGE,
    OTHER_FOLDER,
    SIDECAR,
    Ignored,
    Reading,
    Row,
    is_image,
    is_sidecar,
    walk,
)
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
DISTRACTOR_FOLDER = "images"
DISTRACTORS_OFF = "the 500k option is off"

# The camera is any digit, so that a camera 9 is a finding of the gate and not a lost file.
NAME = re.compile(
    r"(?P<pid>-1|[0-9]{4})_c(?P<cam>[0-9])s(?P<seq>[0-9])_(?P<frame>[0-9]{6})_(?P<box>[0-9]{2})"
    r"(?i:\.jpg(?:\.jpg)?)"
)


def read_market1501(
    root: Path, *, use_500k: bool = False, time_mode: TimeMode = "recorded"
) -> Reading:
    """Read a folder in the layout of Market-1501.

    Args:
        root: The folder that holds `bounding_box_train`, or the one above it.
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
    home = find_home(root)
    rows: list[Row] = []
    ignored: list[Ignored] = []
    for path in walk(root):
        reason = _reason_to_ignore(path, home, use_500k)
        if reason is None:
            rows.append(parse_row(path))
        else:
            ignored.append(Ignored(path, reason))
    _check_splits(rows, root)
    unlisted = tuple(file.path for file in ignored if file.reason == BAD_NAME)
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark="market1501_500k" if use_500k else "market1501",
        rows=tuple(add_timestamps(rows, time_mode)),
        ignored=tuple(ignored),
        warnings=tuple(f"{path}: ignored, {BAD_NAME}" for path in unlisted),
        unlisted=unlisted,
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def find_home(root: Path) -> str:
    """Find the folder that holds the split folders: `root` itself, or one in it.

    Returns:
        Prefix of all paths below that folder, relative to `root`: empty, or a name and a slash.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder", "a data set", "Check where the data lie.")
    nested = [f"{folder.name}/" for folder in sorted(root.iterdir()) if folder.is_dir()]
    homes = [home for home in ["", *nested] if (root / home / "bounding_box_train").is_dir()]
    if not homes:
        raise DataError(
            f"{root}: no folder bounding_box_train, here or one level down",
            f"{', '.join(SPLIT_FOLDERS)}",
            "Point to the unpacked Market-1501 folder.",
        )
    if homes[0] and len(homes) > 1:
        raise DataError(
            f"{root}: {len(homes)} data sets ({', '.join(homes)})", "one", "Point to one of them."
        )
    return homes[0]


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


def _reason_to_ignore(path: str, home: str, use_500k: bool) -> str | None:
    """Say why a file is no image of the protocol; None if it is one."""
    if is_sidecar(path):
        return SIDECAR
    folder, _, name = path.removeprefix(home).rpartition("/")
    if not folder:
        return OTHER_FOLDER if is_image(path) else NOT_AN_IMAGE
    if not path.startswith(home) or folder not in (*SPLIT_FOLDERS, DISTRACTOR_FOLDER):
        return OTHER_FOLDER
    if folder == DISTRACTOR_FOLDER and not use_500k:
        return DISTRACTORS_OFF
    if not is_image(path):
        return NOT_AN_IMAGE
    return None if NAME.fullmatch(name) else BAD_NAME


def _check_splits(rows: Iterable[Row], root: Path) -> None:
    found = {row.split for row in rows if not _is_extra(row)}
    for folder, split in SPLIT_FOLDERS.items():
        if split not in found:
            raise DataError(
                f"{root}: no image in {folder}",
                "names such as 0002_c1s1_000451_03.jpg",
                "Unpack the data set again, or point to its folder.",
            )
