"""The classic layout of CUHK03: all images in one MATLAB file, which is read in place.

The file holds two variants of the images, and 20 random splits. A later protocol splits the persons
once, in a MATLAB file for each variant. Each person was seen by one of five pairs of cameras; like
all published work, the rows have cameras 0 and 1 whatever the pair.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple, cast, get_args

import numpy as np

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import CONTAINER, read_mat
from reid.data.readers.reading import LIST_FILE, OTHER_FOLDER, UNLISTED, Ignored, Reading, Row
from reid.data.readers.sorting import (
    require_splits,
    sort_files,
)
from reid.data.storage import Storage, container_path
from reid.data.storage.hdf5 import CuhkCells
from reid.errors import DataError, ParamsError

Variant = Literal["detected", "labeled"]
Protocol = Literal["classic", "new"]

LAYOUT = "cuhk03_classic"
PARSER_VERSION = 1
CAMERA_COUNT = 2
ETHICS = EthicsRecord(
    licence="research use only, not to be redistributed", status="research", consent="unknown"
)

IMAGES_FILE = "cuhk-03.mat"
CONFIG_FILE = "cuhk03_new_protocol_config_{variant}.mat"
SPLITS = {"train_idx": "train", "query_idx": "query", "gallery_idx": "gallery"}
"""Tables of the later protocol: positions in its list of images, from 1."""

NAME = re.compile(r"(?P<pair>[1-9])_(?P<person>[0-9]{3})_(?P<view>[12])_(?P<index>0[1-9]|10)\.png")


class Assignment(NamedTuple):
    """What a protocol says about an image."""

    split: str
    pid: int
    trial_roles: dict[str, str] | None


def is_cuhk03_classic(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the classic layout of CUHK03."""
    return any(path.rpartition("/")[2] == IMAGES_FILE for path in paths)


def read_cuhk03_classic(
    storage: Storage,
    *,
    variant: Variant = "labeled",
    protocol: Protocol = "classic",
    trial: int = 1,
) -> Reading:
    """Read CUHK03 from its MATLAB file.

    Args:
        storage: Folder or archive that holds `cuhk-03.mat`, at any depth.
        variant: Boxes by a detector or by hand.
        protocol: `classic` splits by one of the recorded test sets into `train` and `test_pool`,
            with the role of a person in every one of them in `trial_roles`; `pid` then numbers the
            persons of all pairs one after the other, from 1. `new` takes split and `pid` from
            `cuhk03_new_protocol_config_<variant>.mat`.
        trial: Number of the test set that makes the split, from 1; without effect on `new`.

    Raises:
        DataError: A file is missing or damaged, or an image that the protocol lists is missing.
        ParamsError: An option has no such value.
    """
    _check_option("variant", variant, get_args(Variant))
    _check_option("protocol", protocol, get_args(Protocol))
    paths = storage.files()
    images = _only(storage, paths, IMAGES_FILE)
    cells = cast(CuhkCells, storage.container("hdf5", images))
    names = [name.partition("/")[2] for name in cells.members() if name.startswith(f"{variant}/")]
    if protocol == "new":
        config = _only(storage, paths, CONFIG_FILE.format(variant=variant))
        assigned = read_new_protocol(storage, config)
        _require_images(storage, assigned, names, images)
    else:
        assigned = dict(_classic_assignments(storage, cells, variant, trial, names))
    rows, unlisted = [], []
    for name in names:
        path = container_path("hdf5", images, f"{variant}/{name}")
        if name in assigned:
            rows.append(parse_row(path, variant, assigned[name]))
        else:
            unlisted.append(Ignored(path, UNLISTED))
    splits = tuple(SPLITS.values()) if protocol == "new" else ("train", "test_pool")
    require_splits(rows, storage, splits, f"{variant}/1_001_1_01.png in {IMAGES_FILE}")
    ignored = [*_other_files(paths, images), *unlisted]
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=f"cuhk03_{'np' if protocol == 'new' else 'classic'}_{variant}",
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def parse_row(path: str, variant: str, assignment: Assignment) -> Row:
    """Make a row of an image by its name.

    Raises:
        DataError: The name is none of the layout.
    """
    name = NAME.fullmatch(path.rpartition("/")[2])
    if name is None:
        raise DataError(f"{path}: not a CUHK03 name", "1_001_1_01.png", "Copy the file again.")
    pair, view = int(name["pair"]), int(name["view"])
    return Row(
        path=path,
        split=assignment.split,
        pid=assignment.pid,
        camid=view - 1,
        cam_raw=str(pair * 2 + view),
        variant=variant,
        trial_roles=assignment.trial_roles,
    )


def read_new_protocol(storage: Storage, path: str) -> dict[str, Assignment]:
    """Read the later protocol.

    Args:
        storage: The data set.
        path: MATLAB file of a variant.

    Returns:
        Split and person of each image by its name; images in no split are left out.

    Raises:
        DataError: The file is missing, damaged, or contradicts itself.
    """
    tables = read_mat(storage, path, ("filelist", "labels", *SPLITS), squeeze=True)
    names = [str(name) for name in np.atleast_1d(tables["filelist"])]
    labels = np.atleast_1d(tables["labels"]).tolist()
    assigned: dict[str, Assignment] = {}
    for table, split in SPLITS.items():
        for position in np.atleast_1d(tables[table]).tolist():
            if not 1 <= position <= min(len(names), len(labels)):
                found = f"{storage.root}: {path} has {position} in {table}"
                raise DataError(found, f"1 to {len(names)}", "Copy the file again.")
            name = names[int(position) - 1]
            if name in assigned:
                found = f"{storage.root}: {path} has {name} in {table} and before"
                raise DataError(found, "each image once", "Copy the file again.")
            assigned[name] = Assignment(split, int(labels[int(position) - 1]), None)
    return assigned


def _check_option(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ParamsError(
            f"{name} '{value}'", f"one of {', '.join(allowed)}", "Correct the option."
        )


def _classic_assignments(
    storage: Storage, cells: CuhkCells, variant: str, trial: int, names: Sequence[str]
) -> Iterator[tuple[str, Assignment]]:
    test_sets = [set(persons) for persons in cells.test_sets()]
    if not 1 <= trial <= len(test_sets):
        found = f"{storage.root}: trial {trial}"
        raise ParamsError(found, f"1 to {len(test_sets)}", "Correct the option.")
    persons_before = [0, *accumulate(cells.persons(variant))]
    known: dict[tuple[int, int], Assignment] = {}
    for name in names:
        pair, person = (int(part) for part in name.split("_")[:2])
        if (pair, person) not in known:
            roles = {
                str(number): "test" if (pair, person) in persons else "train"
                for number, persons in enumerate(test_sets, start=1)
            }
            split = "train" if roles[str(trial)] == "train" else "test_pool"
            known[pair, person] = Assignment(split, persons_before[pair - 1] + person, roles)
        yield name, known[pair, person]


def _other_files(paths: Sequence[str], images: str) -> list[Ignored]:
    configs = {CONFIG_FILE.format(variant=variant) for variant in get_args(Variant)}

    def known(path: str) -> str | None:
        if path == images:
            return CONTAINER
        return LIST_FILE if path.rpartition("/")[2] in configs else None

    # images of their own are what other programs extracted from the file
    return sort_files(paths, "", lambda _path: OTHER_FOLDER, known)[1]


def _only(storage: Storage, paths: Sequence[str], name: str) -> str:
    """Find the one file of a name, at any depth."""
    found = [path for path in paths if path.rpartition("/")[2] == name]
    if len(found) == 1:
        return found[0]
    state = f"{len(found)} files {name} ({', '.join(found)})" if found else f"no file {name}"
    raise DataError(f"{storage.root}: {state}", "one", "Point to the folder of the release.")


def _require_images(
    storage: Storage, listed: dict[str, Assignment], names: Sequence[str], images: str
) -> None:
    lost = sorted(listed.keys() - set(names))
    if lost:
        raise DataError(
            f"{storage.root}: no image {lost[0]} in {images}",
            f"the {len(listed)} images of the protocol",
            "Copy both files of one release again.",
        )
