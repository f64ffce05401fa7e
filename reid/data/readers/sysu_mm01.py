"""The layout of SYSU-MM01: a folder for each camera, in it one for each person.

Lists of ids say who is for training; infrared images of the others are queries, and their colour
images are the pool from which the trials of the protocol draw galleries.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import read_ids, read_mat, roles_of
from reid.data.readers.reading import BAD_NAME, LIST_FILE, OTHER_FOLDER, Reading, Row
from reid.data.readers.sorting import (
    find_home,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage

LAYOUT = "sysu_mm01"
PARSER_VERSION = 1
CAMERA_COUNT = 6
ETHICS = EthicsRecord(
    licence="signed agreement; research and display in papers", status="agreement", consent="yes"
)

MARKERS = ("cam1/", "exp/")
INFRARED_CAMERAS = (3, 6)
ID_LISTS = {"exp/train_id.txt": "train", "exp/val_id.txt": "val", "exp/test_id.txt": "test"}
PERMUTATIONS = "exp/rand_perm_cam.mat"
NO_ID = "identity is in none of the id lists"

# The camera is any digit, so that a camera 9 is a finding of the gate and not a lost file.
NAME = re.compile(r"cam(?P<cam>[0-9])/(?P<pid>[0-9]{4})/(?P<number>[0-9]{4})(?i:\.jpg)")
_CAMERA_FOLDER = re.compile(r"cam[0-9]/.*", re.DOTALL)
_LIST_NAME = re.compile(r"exp/[^/]+\.(?:txt|mat|json)")


def is_sysu_mm01(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of SYSU-MM01."""
    # an outline of many folders may end before the one of the lists
    return any(NAME.fullmatch("/".join(path.split("/")[-3:])) for path in paths)


def read_sysu_mm01(storage: Storage, *, use_val: bool = True) -> Reading:
    """Read files in the layout of SYSU-MM01.

    Args:
        storage: Folder or archive that holds `cam1` … and `exp`, here or further down.
        use_val: Train on the ids for validation too, as all published numbers do.

    Raises:
        DataError: A folder or a list of ids is missing or damaged, or a split has no image.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    roles = read_roles(storage, home)

    def judge(path: str) -> Row | str:
        match = NAME.fullmatch(path)
        if match is None:
            return BAD_NAME if _CAMERA_FOLDER.fullmatch(path) else OTHER_FOLDER
        role = roles.get(int(match["pid"]))
        return NO_ID if role is None else make_row(path, match, role, use_val)

    def known(path: str) -> str | None:
        return LIST_FILE if _LIST_NAME.fullmatch(path.removeprefix(home)) else None

    rows, ignored = sort_files(paths, home, judge, known)
    splits = ("train", "query", "gallery") if use_val else ("train", "val", "query", "gallery")
    require_splits(rows, storage, splits, "cam3/0006/0001.jpg of an id in exp/test_id.txt")
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=LAYOUT,
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def make_row(path: str, name: re.Match[str], role: str, use_val: bool) -> Row:
    """Make a row of an image.

    Args:
        path: Its path below the home of the data set.
        name: What the grammar found in it.
        role: `train`, `val` or `test`, by the list of its id.
        use_val: Whether ids for validation are to train on.
    """
    camera = int(name["cam"])
    infrared = camera in INFRARED_CAMERAS
    splits = {
        "train": "train",
        "val": "train" if use_val else "val",
        "test": "query" if infrared else "gallery",
    }
    return Row(
        path=path,
        split=splits[role],
        pid=int(name["pid"]),
        camid=camera - 1,
        cam_raw=name["cam"],
        modality="ir" if infrared else "rgb",
        band="nir" if infrared else "visible",
    )


def read_roles(storage: Storage, home: str) -> dict[int, str]:
    """Read which ids are for training, for validation and for the test.

    Raises:
        DataError: A list is missing or damaged, or an id is in two lists.
    """
    lists = {name: [str(pid) for pid in read_ids(storage, home + name)] for name in ID_LISTS}
    return {int(pid): ID_LISTS[name] for pid, name in roles_of(storage, lists).items()}


def read_permutations(
    storage: Storage, home: str
) -> dict[int, dict[int, NDArray[np.int64]]] | None:
    """Read the orders in which the official trials draw the gallery.

    Args:
        storage: The data set.
        home: Prefix of its files, as `find_home` gives it.

    Returns:
        By camera (1 to 6) and id, [trials, images] positions from 1 among the sorted images of the
        id in the camera: a trial with n shots takes the first n of its row. Ids that a camera did
        not see are left out. None if the data set comes without the file.

    Raises:
        DataError: The file is damaged.
    """
    path = home + PERMUTATIONS
    if not storage.has_file(path):
        return None
    cameras = read_mat(storage, path, ("rand_perm_cam",), squeeze=False)["rand_perm_cam"]
    return {
        camera: {
            pid: np.atleast_2d(orders).astype(np.int64)
            for pid, orders in enumerate(people.ravel(), start=1)
            if orders.size
        }
        for camera, people in enumerate(cameras.ravel(), start=1)
    }
