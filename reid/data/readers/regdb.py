"""The layout of RegDB: visible and thermal images, and lists that split the persons ten times."""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import read_numbered, require_listed, roles_of
from reid.data.readers.reading import (
    BAD_NAME,
    LIST_FILE,
    OTHER_FOLDER,
    UNLISTED,
    Reading,
    Row,
)
from reid.data.readers.sorting import (
    find_home,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage
from reid.errors import ParamsError

LAYOUT = "regdb"
PARSER_VERSION = 1
CAMERA_COUNT = 2
ETHICS = EthicsRecord(licence="research use only", status="research", consent="unknown")

MARKERS = ("Visible/", "Thermal/")
CAMERAS = {"Visible": 0, "Thermal": 1}
VIEWS = {"front": 0, "back": 1}
ROLES = ("train", "test")

NAME = re.compile(
    r"(?P<sex>male|female)_(?P<side>front|back)_(?P<modality>[vt])_(?P<frame>[0-9]{5})_"
    r"(?P<pid>[0-9]{1,3})(?i:\.bmp)"
)
LIST_NAME = re.compile(r"idx/(?P<role>train|test)_(?:visible|thermal)_(?P<trial>[1-9][0-9]*)\.txt")


def is_regdb(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of RegDB."""
    below = ("/".join(path.split("/")[-3:]) for path in paths)
    return any(isinstance(parse_row(path), Row) for path in below)


def read_regdb(storage: Storage, *, trial: int = 1) -> Reading:
    """Read files in the layout of RegDB.

    Args:
        storage: Folder or archive that holds `Visible`, `Thermal` and `idx`, here or further down.
        trial: Which of the recorded splits makes `train` and `test_pool`. `trial_roles` has the
            role of an image in every one of them.

    Raises:
        DataError: A folder, a list or a listed image is missing, a list is damaged, or a split has
            no image.
        ParamsError: There are no lists of this trial.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    trials = read_trials(storage, home, paths)
    if trial not in trials:
        found = f"{storage.root}: no lists of trial {trial} in {home}idx"
        expected = f"one of {', '.join(map(str, trials))}" if trials else "idx/train_visible_1.txt"
        raise ParamsError(found, expected, "Correct the option, or restore the lists.")
    roles = _roles_by_image(trials)

    def judge(path: str) -> Row | str:
        if path not in trials[trial]:
            row = parse_row(path)
            return row if isinstance(row, str) else UNLISTED
        return parse_row(path, trials[trial][path], roles[path])

    def known(path: str) -> str | None:
        return LIST_FILE if LIST_NAME.fullmatch(path.removeprefix(home)) else None

    rows, ignored = sort_files(paths, home, judge, known)
    listed = {
        home + path: f"the lists of trial {number}"
        for number, images in trials.items()
        for path in images
    }
    require_listed(storage, listed, rows)
    require_splits(rows, storage, ("train", "test_pool"), "Visible/1/male_front_v_00042_1.bmp")
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=LAYOUT,
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def read_trials(storage: Storage, home: str, paths: Sequence[str]) -> dict[int, dict[str, str]]:
    """Read the lists of every trial.

    Args:
        storage: The data set.
        home: Prefix of its files.
        paths: All files.

    Returns:
        By trial, the role of each image (`train` or `test`) by its path below `home`.

    Raises:
        DataError: One of the four lists of a trial is missing or damaged, or lists contradict.
    """
    names = (path.removeprefix(home) for path in paths if path.startswith(home))
    found = sorted({int(match["trial"]) for name in names if (match := LIST_NAME.fullmatch(name))})
    trials = {}
    for trial in found:
        lists: dict[str, list[str]] = defaultdict(list)
        for role in ROLES:
            for kind in ("visible", "thermal"):
                lists[role] += read_numbered(storage, f"{home}idx/{role}_{kind}_{trial}.txt")
        trials[trial] = roles_of(storage, lists)
    return trials


def parse_row(path: str, role: str = "train", roles: Mapping[str, str] | None = None) -> Row | str:
    """Make a row of an image by its path below the home of the data set.

    Args:
        path: Folder of the modality, folder of the person, and name.
        role: Of the image in the trial that makes the split.
        roles: Of the image in all trials.

    Returns:
        The row, or why the image is none of the layout.
    """
    parts = path.split("/")
    if len(parts) != 3 or parts[0] not in CAMERAS:
        return OTHER_FOLDER if parts[0] not in CAMERAS else BAD_NAME
    match = NAME.fullmatch(parts[2])
    if match is None or match["pid"] != parts[1] or match["modality"] != parts[0][0].lower():
        return BAD_NAME
    infrared = parts[0] == "Thermal"
    return Row(
        path=path,
        split="train" if role == "train" else "test_pool",
        pid=int(parts[1]),
        camid=CAMERAS[parts[0]],
        cam_raw=parts[0],
        trial_roles=roles,
        viewid=VIEWS[match["side"]],
        modality="ir" if infrared else "rgb",
        band="thermal" if infrared else "visible",
        frame=int(match["frame"]),
        attrs=json.dumps({"sex": match["sex"]}),
    )


def _roles_by_image(trials: Mapping[int, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    roles: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for trial, images in trials.items():
        for path, role in images.items():
            roles[path][str(trial)] = role
    return roles
