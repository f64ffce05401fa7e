"""The layout of SYSU-MM01: a folder for each camera, in it one for each person.

Lists of ids say who is for training; infrared images of the others are queries, and their colour
images are the gallery, from which each trial of the protocol draws some. The order of the official
draws comes with the data set.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeGuard

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
from reid.errors import DataError

LAYOUT = "sysu_mm01"
PARSER_VERSION = 2
CAMERA_COUNT = 6
ETHICS = EthicsRecord(
    licence="signed agreement; research and display in papers", status="agreement", consent="yes"
)

MARKERS = ("cam1/", "exp/")
INFRARED_CAMERAS = (3, 6)
ID_LISTS = {"exp/train_id.txt": "train", "exp/val_id.txt": "val", "exp/test_id.txt": "test"}
PERMUTATIONS = "exp/rand_perm_cam.mat"
MOST_SHOTS = 10
"""Places in a draw that are kept: the multi-shot gallery takes the first ten of each row."""
NO_ID = "identity is in none of the id lists"

# The camera is any digit, so that a camera 9 is a finding of the gate and not a lost file.
NAME = re.compile(r"cam(?P<cam>[0-9])/(?P<pid>[0-9]{4})/(?P<number>[0-9]{4})(?i:\.jpg)")
_CAMERA_FOLDER = re.compile(r"cam[0-9]/.*", re.DOTALL)
_LIST_NAME = re.compile(r"exp/[^/]+\.(?:txt|mat|json)")

Permutations = Mapping[int, Mapping[int, NDArray[np.int64]]]
"""By camera (from 1) and id, [trials, images] image numbers."""

Image = tuple[int, int, int]
"""Camera (from 1), id and number of an image, as its path writes them."""


def is_sysu_mm01(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of SYSU-MM01."""
    # an outline of many folders may end before the one of the lists
    return any(NAME.fullmatch("/".join(path.split("/")[-3:])) for path in paths)


def read_sysu_mm01(storage: Storage, *, use_val: bool = True) -> Reading:
    """Read files in the layout of SYSU-MM01.

    Args:
        storage: Folder or archive that holds `cam1` … and `exp`, here or further down. If
            `exp/rand_perm_cam.mat` is there, `trial_roles` of a gallery image has its place, from
            `1` to `10`, in every official trial that draws it among the first ten of its person and
            camera.
        use_val: Train on the ids for validation too, as all published numbers do.

    Raises:
        DataError: A folder or a list of ids is missing or damaged, the official draws are damaged,
            or a split has no image.
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
    tested = {pid for pid, role in roles.items() if role == "test"}
    places = drawn_places(read_permutations(storage, home) or {}, tested)
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=LAYOUT,
        rows=tuple(_with_places(rows, places)),
        ignored=tuple(ignored),
        notes=tuple(_lost_draws(rows, places)),
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


def read_permutations(storage: Storage, home: str) -> Permutations | None:
    """Read the orders in which the official trials draw the gallery.

    The authors' evaluation takes a number for the position of an image among those of its person
    and camera, published Python code for the number in the file name. In folders that are numbered
    from 1 without a gap both name the same image. Where a copy lacks images only the name still
    does, so here it is the number in the file name.

    Args:
        storage: The data set.
        home: Prefix of its files, as `find_home` gives it.

    Returns:
        A trial with n shots takes the first n of its row. Ids that a camera did not see are left
        out. None if the data set comes without the file.

    Raises:
        DataError: The file is damaged, or a trial draws an image twice.
    """
    path = home + PERMUTATIONS
    if not storage.has_file(path):
        return None
    cameras = read_mat(storage, path, ("rand_perm_cam",), squeeze=False)["rand_perm_cam"]
    found: dict[int, dict[int, NDArray[np.int64]]] = {}
    for camera, people in enumerate(cameras.ravel(), start=1):
        found[camera] = {}
        for pid, orders in enumerate(np.ravel(people), start=1):
            if not _are_orders(orders):
                raise DataError(
                    f"{storage.root}: {path} holds no orders for id {pid} in camera {camera}",
                    "a row of image numbers for each trial, each number once in it",
                    "Copy the file again.",
                )
            if orders.size:
                found[camera][pid] = np.atleast_2d(orders).astype(np.int64)
    return found


def _are_orders(cell: object) -> TypeGuard[NDArray[np.int64]]:
    """Tell whether a cell holds rows of numbers, each number once in its row."""
    if not isinstance(cell, np.ndarray) or cell.dtype.kind not in "iuf" or cell.ndim > 2:
        return False
    return not (np.diff(np.sort(np.atleast_2d(cell))) == 0).any()


def drawn_places(
    permutations: Permutations, tested: Collection[int]
) -> dict[Image, dict[str, str]]:
    """Find the places of each gallery image in the official draws.

    Args:
        permutations: As `read_permutations` gives them.
        tested: Ids to test on.

    Returns:
        For each image that is drawn, the trial, from `1`, to the place in it, from `1` to `10`.
    """
    places: defaultdict[Image, dict[str, str]] = defaultdict(dict)
    for camera, people in permutations.items():
        if camera in INFRARED_CAMERAS:
            continue
        for pid in sorted(people.keys() & set(tested)):
            for trial, order in enumerate(people[pid][:, :MOST_SHOTS].tolist(), start=1):
                for place, number in enumerate(order, start=1):
                    places[camera, pid, number][str(trial)] = str(place)
    return dict(places)


def _image_of(row: Row) -> Image:
    camera, pid, name = row.path.split("/")[-3:]
    return int(camera.removeprefix("cam")), int(pid), int(name.partition(".")[0])


def _with_places(rows: Sequence[Row], places: Mapping[Image, Mapping[str, str]]) -> Iterator[Row]:
    for row in rows:
        drawn = places.get(_image_of(row)) if row.split == "gallery" else None
        yield row if drawn is None else replace(row, trial_roles=drawn)


def _lost_draws(rows: Sequence[Row], places: Mapping[Image, object]) -> Iterator[str]:
    """Say which drawn images are not there: a trial is the smaller for them."""
    lost = sorted(places.keys() - {_image_of(row) for row in rows})
    if lost:
        camera, pid, number = lost[0]
        first = f"cam{camera}/{pid:04}/{number:04}.jpg"
        yield f"{PERMUTATIONS} draws {len(lost)} images that are not there, the first {first}"
