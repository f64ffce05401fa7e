"""The layout of VehicleID: one folder of images, one list to train, and test lists by size."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import read_numbered, require_listed, roles_of
from reid.data.readers.reading import (
    BAD_NAME,
    LABEL_FILE,
    LIST_FILE,
    OTHER_FOLDER,
    UNLISTED,
    Reading,
    Row,
)
from reid.data.readers.sorting import (
    find_home,
    homes_of,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage
from reid.errors import ParamsError

LAYOUT = "vehicleid"
PARSER_VERSION = 1
CAMERA_COUNT = None
ETHICS = EthicsRecord(licence="research use only", status="research", consent="unknown")

TRAIN_LIST = "train_test_split/train_list.txt"
MARKERS = ("image/", TRAIN_LIST)
OTHER_TEST = "only in test lists other than the chosen one"

NAME = re.compile(r"image/(?P<stem>[0-9]{7})(?i:\.jpg)")
TEST_LIST = re.compile(r"train_test_split/test_list_(?P<size>[1-9][0-9]*)\.txt")
_LIST_FOLDER = re.compile(r"train_test_split/[^/]+\.txt")
_LABEL_FOLDER = re.compile(r"attribute/[^/]+\.txt")


def is_vehicleid(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of VehicleID."""
    return bool(homes_of(paths, MARKERS))


def read_vehicleid(storage: Storage, *, test_list: int = 800) -> Reading:
    """Read files in the layout of VehicleID.

    No camera is known. Which test image of a vehicle is in the gallery is drawn by the protocol.

    Args:
        storage: Folder or archive that holds `image` and `train_test_split`, here or further down.
        test_list: Number of vehicles of the list that makes the split `test_pool`. `trial_roles`
            names every test list that has the image, such as `test_800`.

    Raises:
        DataError: A folder, a list or a listed image is missing, a list is damaged, or a split has
            no image.
        ParamsError: There is no such test list.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    train = read_numbered(storage, home + TRAIN_LIST)
    tests = read_test_lists(storage, home, paths)
    for title, stems in tests.items():
        roles_of(storage, {"train": train, title: stems})  # no image may be in both
    test = _choose(storage, home, tests, test_list)
    roles = _roles_by_stem(tests)

    def judge(path: str) -> Row | str:
        match = NAME.fullmatch(path)
        if match is None:
            return BAD_NAME if path.startswith("image/") else OTHER_FOLDER
        stem = match["stem"]
        if stem in train:
            return make_row(path, "train", train[stem], None)
        if stem in test:
            return make_row(path, "test_pool", test[stem], roles[stem])
        return OTHER_TEST if stem in roles else UNLISTED

    def known(path: str) -> str | None:
        inside = path.removeprefix(home)
        if _LIST_FOLDER.fullmatch(inside):
            return LIST_FILE
        return LABEL_FILE if _LABEL_FOLDER.fullmatch(inside) else None

    rows, ignored = sort_files(paths, home, judge, known)
    require_listed(storage, _listed_paths(paths, home, train, test), rows)
    require_splits(rows, storage, ("train", "test_pool"), "'0000013 5' in the lists")
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=f"{LAYOUT}_{test_list}",
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def make_row(path: str, split: str, pid: int, roles: Mapping[str, str] | None) -> Row:
    """Make a row of a listed image."""
    return Row(
        path=path,
        split=split,
        pid=pid,
        camid=None,
        cam_raw=None,
        object="vehicle",
        trial_roles=roles,
    )


def read_test_lists(storage: Storage, home: str, paths: Sequence[str]) -> dict[str, dict[str, int]]:
    """Read every test list.

    Args:
        storage: The data set.
        home: Prefix of its files.
        paths: All files.

    Returns:
        By title, such as `test_800`, the vehicle of each image by its stem.

    Raises:
        DataError: A list is damaged.
    """
    names = (path.removeprefix(home) for path in paths if path.startswith(home))
    found = sorted(int(match["size"]) for name in names if (match := TEST_LIST.fullmatch(name)))
    return {
        f"test_{size}": read_numbered(storage, f"{home}train_test_split/test_list_{size}.txt")
        for size in found
    }


def _choose(
    storage: Storage, home: str, tests: Mapping[str, dict[str, int]], size: int
) -> dict[str, int]:
    if f"test_{size}" in tests:
        return tests[f"test_{size}"]
    found = f"{storage.root}: no {home}train_test_split/test_list_{size}.txt"
    expected = f"one of {', '.join(tests)}" if tests else "a test list"
    raise ParamsError(found, expected, "Correct the option test_list, or restore the list.")


def _roles_by_stem(tests: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, str]]:
    roles: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for title, stems in tests.items():
        for stem in stems:
            roles[stem][title] = "test"
    return roles


def _listed_paths(
    paths: Sequence[str], home: str, train: Iterable[str], test: Iterable[str]
) -> dict[str, str]:
    """Find the list of each listed image, by its path; the case of its suffix is the file's."""
    by_stem = {path.removeprefix(f"{home}image/").rpartition(".")[0]: path for path in paths}
    return {
        by_stem.get(stem, f"{home}image/{stem}.jpg"): title
        for title, stems in {"the train list": train, "the test list": test}.items()
        for stem in stems
    }
