"""The layouts of MSMT17: two versions that go by lists, and a copy in the style of Market-1501.

The two parts of the data set number their persons independently, each from 0, so a person is known
by part and number.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import read_numbered, require_listed, roles_of
from reid.data.readers.reading import BAD_NAME, LIST_FILE, UNLISTED, Ignored, Reading, Row
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
from reid.errors import DataError, ParamsError

LAYOUT = "msmt17"
PARSER_VERSION = 1
CAMERA_COUNT = 15
ETHICS = EthicsRecord(
    licence="on request from the authors, research use only", status="agreement", consent="unknown"
)

FOLDERS = {"v1": ("train", "test"), "v2": ("mask_train_v2", "mask_test_v2")}
"""Folders of the training and of the test part; the faces of v2 are masked."""

MARKET_STYLE = "marketstyle"
SPLIT_FOLDERS = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
MARKERS = {
    variant: tuple(f"{folder}/" for folder in folders)
    for variant, folders in {**FOLDERS, MARKET_STYLE: tuple(SPLIT_FOLDERS)}.items()
}
LISTS = {
    "list_train.txt": "train",
    "list_val.txt": "val",
    "list_query.txt": "query",
    "list_gallery.txt": "gallery",
}
LIKE = {
    "v1": "test/0000/0000_013_02_0113noon_1199_3.jpg, each in a list",
    "v2": "mask_test_v2/0000/0000_013_02_0113noon_1199_3.jpg, each in a list",
    MARKET_STYLE: "query/0000_c05_0022.jpg",
}
BOUNDARY_CROP = '{"ex": true}'
"""Attributes of images whose name ends in `_ex`, which nobody explains."""

_TRAINING = ("train", "val")

NAME = re.compile(
    r"(?P<pid>[0-9]{4})_(?P<n>[0-9]{3})_(?P<cam>[0-9]{2})_"
    r"(?P<session>[0-9]{4}(?:morning|noon|afternoon))_"
    r"(?P<a>[0-9]+)_(?P<b>[0-9]+)(?P<ex>_ex)?(?i:\.jpe?g)"
)
MARKET_STYLE_NAME = re.compile(r"(?P<pid>[0-9]{4})_c(?P<cam>[0-9]{2})_(?P<n>[0-9]{4})(?i:\.jpg)")


def is_msmt17(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is one of the layouts of MSMT17."""
    if homes_of(paths, MARKERS[MARKET_STYLE]):
        return any_named(paths, "bounding_box_train", MARKET_STYLE_NAME)
    # an outline may end before the second of the two folders, so one is enough
    return any(any_named(paths, name, NAME) for pair in FOLDERS.values() for name in pair)


def read_msmt17(storage: Storage, *, use_val: bool = True, use_test: bool = False) -> Reading:
    """Read files in one of the layouts of MSMT17; `variant` of the rows says which.

    Args:
        storage: Folder or archive that holds the two image folders and the four lists, or the
            three folders of the copy in the style of Market-1501, here or further down.
        use_val: Train on the images of `list_val.txt` too, as most published numbers do.
        use_test: Train on queries and gallery too, which leaves nothing to test on: for tests on
            other data sets (Liao and Shao, arXiv 2105.14432, "MSMT17 all").

    Raises:
        DataError: A folder, a list or a listed image is missing, a list is damaged, or a split is
            empty.
        ParamsError: `use_val` is off for the copy in the style of Market-1501, which does not say
            which images are for validation, or while `use_test` is on.
    """
    if use_test and not use_val:
        raise ParamsError(
            f"{storage.root}: use_test is on and use_val is off",
            "use_val: true, as all images are to train on",
            "Correct one of the options.",
        )
    paths = storage.files()
    variant = _find_variant(storage, paths)
    home = find_home(storage, paths, MARKERS[variant])
    if variant == MARKET_STYLE:
        if not use_val:
            raise ParamsError(
                f"{storage.root}: use_val is off for a copy in the style of Market-1501",
                "use_val: true, as its train folder holds both",
                "Correct the option, or use the release that has list_val.txt.",
            )
        rows, ignored = sort_files(paths, home, judge_market_style, nothing_known)
    else:
        rows, ignored = _sort_listed(storage, paths, home, variant, use_val)
    splits = ("train", "query", "gallery") if use_val else tuple(LISTS.values())
    require_splits(rows, storage, splits, LIKE[variant])
    if use_test:
        rows = [replace(row, split="train") for row in rows]
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=f"{LAYOUT}_all" if use_test else LAYOUT if use_val else f"{LAYOUT}_no_val",
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def read_lists(storage: Storage, home: str, variant: str) -> tuple[dict[str, int], dict[str, str]]:
    """Read the four lists.

    Args:
        home: Prefix of the lists and folders.
        variant: `v1` or `v2`.

    Returns:
        The person on each image and the list that names it, by the image's path.

    Raises:
        DataError: A list is missing or has a damaged line, or two lists name the same image.
    """
    train, test = FOLDERS[variant]
    persons: dict[str, int] = {}
    named: dict[str, list[str]] = {}
    for source, split in LISTS.items():
        folder = train if split in _TRAINING else test
        numbers = read_numbered(storage, home + source)
        named[source] = [f"{home}{folder}/{name}" for name in numbers]
        persons |= zip(named[source], numbers.values(), strict=True)
    return persons, roles_of(storage, named)


def judge_listed(path: str, split: str, variant: str) -> Row | str:
    """Make a row of a listed image.

    Args:
        path: Its path below the home of the data set.
        split: Split whose list names it.
        variant: `v1` or `v2`.
    """
    name = NAME.fullmatch(path.rpartition("/")[2])
    if name is None:
        return BAD_NAME
    return Row(
        path=path,
        split=split,
        pid=int(name["pid"]),
        camid=int(name["cam"]) - 1,
        cam_raw=str(int(name["cam"])),
        variant=variant,
        pid_space="train" if split in _TRAINING else "test",
        session=name["session"],
        attrs=BOUNDARY_CROP if name["ex"] else None,
    )


def judge_market_style(path: str) -> Row | str:
    """Make a row of an image of the copy in the style of Market-1501, by its path below home."""

    def make(split: str, name: re.Match[str]) -> Row:
        return Row(
            path=path,
            split=split,
            pid=int(name["pid"]),
            camid=int(name["cam"]) - 1,
            cam_raw=str(int(name["cam"])),
            variant=MARKET_STYLE,
            pid_space="train" if split == "train" else "test",
        )

    return judge_by_folder(path, SPLIT_FOLDERS, MARKET_STYLE_NAME, make)


def _sort_listed(
    storage: Storage, paths: Sequence[str], home: str, variant: str, use_val: bool
) -> tuple[list[Row], list[Ignored]]:
    persons, sources = read_lists(storage, home, variant)
    lists = {home + name for name in LISTS}

    def judge(path: str) -> Row | str:
        source = sources.get(home + path)
        return UNLISTED if source is None else judge_listed(path, LISTS[source], variant)

    def known(path: str) -> str | None:
        return LIST_FILE if path in lists else None

    rows, ignored = sort_files(paths, home, judge, known)
    require_listed(storage, sources, rows)
    for row in rows:
        if row.pid != persons[row.path]:
            raise DataError(
                f"{storage.root}: {row.path} has pid {persons[row.path]} in {sources[row.path]}",
                f"{row.pid}, as in its name",
                "Restore the lists of the data set.",
            )
    if use_val:
        rows = [replace(row, split="train") if row.split == "val" else row for row in rows]
    return rows, ignored


def _find_variant(storage: Storage, paths: Sequence[str]) -> str:
    found = [variant for variant, markers in MARKERS.items() if homes_of(paths, markers)]
    if len(found) == 1:
        return found[0]
    every = " or ".join(" and ".join(folder.rstrip("/") for folder in m) for m in MARKERS.values())
    if found:
        raise DataError(
            f"{storage.root}: MSMT17 as {' and '.join(found)}", "one", "Point to one of them."
        )
    raise DataError(
        f"{storage.root}: no folders of MSMT17, here or up to 2 levels down",
        every,
        "Point to the folder or archive of the data set.",
    )
