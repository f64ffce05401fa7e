"""The layout of CUHK03 under its new protocol: the folders of Market-1501, once per variant."""

import re
from collections.abc import Sequence
from typing import Literal, get_args

from reid.data.manifest import EthicsRecord
from reid.data.readers.reading import OTHER_FOLDER, Reading, Row
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
from reid.errors import ParamsError

Variant = Literal["detected", "labeled"]

LAYOUT = "cuhk03_np"
PARSER_VERSION = 1
CAMERA_COUNT = 2
ETHICS = EthicsRecord(licence="research use only", status="research", consent="unknown")

VARIANTS: tuple[Variant, ...] = get_args(Variant)
"""How the boxes were found: by a detector or by hand."""

SPLIT_FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
OTHER_VARIANT = "variant not asked for"

NAME = re.compile(r"(?P<pid>[0-9]{4})_c(?P<cam>[12])_(?P<n>[0-9]+)(?i:\.png)")


def is_cuhk03_np(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of CUHK03-NP."""
    return any(
        any_named(paths, f"{variant}/bounding_box_train", NAME) for variant in _present(paths)
    )


def read_cuhk03_np(storage: Storage, *, variant: Variant | None = None) -> Reading:
    """Read files in the layout of CUHK03-NP.

    Args:
        storage: Folder or archive that holds `detected` or `labeled`, here or further down.
        variant: Which boxes to read; None for all that are there. Rows of both together are no
            benchmark, as they show the same persons twice.

    Raises:
        DataError: The variant or a split folder of it is missing or holds no image of the layout.
        ParamsError: There is no such variant.
    """
    if variant is not None and variant not in VARIANTS:
        expected = f"one of {', '.join(VARIANTS)}"
        raise ParamsError(f"variant '{variant}'", expected, "Correct the option.")
    paths = storage.files()
    wanted = (variant,) if variant else _present(paths) or VARIANTS
    home = find_home(storage, paths, [mark for name in wanted for mark in _markers(name)])

    def judge_wanted(path: str) -> Row | str:
        verdict = judge(path)
        unwanted = isinstance(verdict, Row) and verdict.variant not in wanted
        return OTHER_VARIANT if unwanted else verdict

    rows, ignored = sort_files(paths, home, judge_wanted, nothing_known)
    for name in wanted:
        mine = [row for row in rows if row.variant == name]
        require_splits(mine, storage, tuple(SPLIT_FOLDERS.values()), f"{name}/query/0003_c1_2.png")
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=f"{LAYOUT}_{wanted[0]}" if len(wanted) == 1 else None,
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def judge(path: str) -> Row | str:
    """Make a row of an image by its path below the home of the data set."""
    variant, _, rest = path.partition("/")
    if variant not in VARIANTS:
        return OTHER_FOLDER

    def make(split: str, name: re.Match[str]) -> Row:
        return Row(
            path=path,
            split=split,
            pid=int(name["pid"]),
            camid=int(name["cam"]) - 1,
            cam_raw=name["cam"],
            variant=variant,
        )

    return judge_by_folder(rest, SPLIT_FOLDERS, NAME, make)


def _present(paths: Sequence[str]) -> tuple[Variant, ...]:
    return tuple(variant for variant in VARIANTS if homes_of(paths, _markers(variant)))


def _markers(variant: Variant) -> tuple[str, ...]:
    return tuple(f"{variant}/{folder}/" for folder in SPLIT_FOLDERS)
