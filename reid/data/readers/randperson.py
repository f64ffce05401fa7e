"""The layout of RandPerson's subset: one folder of synthetic persons to train on."""

import re
from collections.abc import Sequence

from reid.data.manifest import EthicsRecord
from reid.data.readers.reading import BAD_NAME, OTHER_FOLDER, Reading, Row
from reid.data.readers.sorting import (
    find_home,
    homes_of,
    nothing_known,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage

LAYOUT = "randperson"
PARSER_VERSION = 1
CAMERA_COUNT = 19
FRAMES_PER_SECOND = 24
ETHICS = EthicsRecord(licence="research use only", status="research", consent="synthetic")

FOLDER = "randperson_subset/"
FIRST_CAMERA = (0, 2, 4, 6, 8, 9, 10, 12, 13, 14, 15)
"""Canonical camera that is camera 0 of each scene, as QAConv (Liao and Shao, 2020) counts them."""

FIRST_FRAME = (
    *(0, 160_000, 340_000, 490_000, 640_000, 1_070_000),
    *(1_330_000, 1_590_000, 1_890_000, 3_190_000, 3_490_000),
)
"""Frame at which each scene begins when the scenes are laid end to end, from the same source."""

NAME = re.compile(
    r"(?P<pid>[0-9]{6})_s(?P<scene>[0-9]{2})_c(?P<cam>[0-9]{2})_f(?P<frame>[0-9]{6})"
    r"(?i:\.(?:jpg|png))"
)


def is_randperson(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of RandPerson's subset."""
    homes = homes_of(paths, (FOLDER,))
    folder = homes[0] + FOLDER if homes else ""
    inside = (path.removeprefix(folder) for path in paths if path.startswith(folder))
    cameras = [_camera(name) for name in map(NAME.fullmatch, inside) if name]
    # names of ClonedPerson look the same, but it has cameras that RandPerson has not
    return bool(cameras) and None not in cameras


def read_randperson(storage: Storage) -> Reading:
    """Read files in the layout of RandPerson's subset.

    Args:
        storage: Folder or archive that holds `randperson_subset`, here or further down, or the
            images themselves.

    Raises:
        DataError: There are several such folders, or no image of the layout.
    """
    paths = storage.files()
    inside = bool(homes_of(paths, (FOLDER,)))
    home = find_home(storage, paths, (FOLDER,)) + FOLDER if inside else ""
    rows, ignored = sort_files(paths, home, judge, nothing_known)
    require_splits(rows, storage, ("train",), f"{FOLDER}000000_s00_c00_f113104.jpg")
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=LAYOUT,
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def judge(path: str) -> Row | str:
    """Make a row of an image by its path below the folder of images."""
    if "/" in path:
        return OTHER_FOLDER
    name = NAME.fullmatch(path)
    camera = _camera(name) if name else None
    if name is None or camera is None:
        return BAD_NAME
    return scene_row("train", name, camera, FIRST_FRAME[int(name["scene"])])


def scene_row(split: str, name: re.Match[str], camid: int, first_frame: int = 0) -> Row:
    """Make a row of what a name says.

    Args:
        split: Split of the image.
        name: Match of `NAME`.
        camid: Canonical camera.
        first_frame: Frame at which the scene begins on the time axis of the data set.
    """
    frame = int(name["frame"])
    return Row(
        path=name.string,
        split=split,
        pid=int(name["pid"]),
        camid=camid,
        cam_raw=raw_camera(name),
        session=str(int(name["scene"])),
        frame=frame,
        timestamp=(first_frame + frame) / FRAMES_PER_SECOND,
    )


def raw_camera(name: re.Match[str]) -> str:
    """The camera as written: scene and camera, in as many digits in every name."""
    return f"s{name['scene']}c{name['cam']}"


def _camera(name: re.Match[str]) -> int | None:
    """The canonical camera; None if the data set has no such scene, or the scene no such camera."""
    scene, camera = int(name["scene"]), int(name["cam"])
    ends = (*FIRST_CAMERA[1:], CAMERA_COUNT)
    if scene >= len(FIRST_CAMERA) or FIRST_CAMERA[scene] + camera >= ends[scene]:
        return None
    return FIRST_CAMERA[scene] + camera
