"""The layout of VeRi-776: vehicles, with colour and type from XML and views from keypoint files."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple
from xml.etree import ElementTree

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import require_listed
from reid.data.readers.reading import (
    LABEL_FILE,
    LIST_FILE,
    UNLISTED,
    Reading,
    Row,
    is_sidecar,
)
from reid.data.readers.sorting import (
    find_home,
    homes_of,
    judge_by_folder,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage
from reid.errors import DataError

LAYOUT = "veri776"
PARSER_VERSION = 1
CAMERA_COUNT = 20
ETHICS = EthicsRecord(licence="research use only", status="research", consent="unknown")

SPLIT_FOLDERS = {"image_train": "train", "image_query": "query", "image_test": "gallery"}
MARKERS = tuple(f"{folder}/" for folder in SPLIT_FOLDERS)
NAME_LISTS = {
    "image_train": "name_train.txt",
    "image_query": "name_query.txt",
    "image_test": "name_test.txt",
}
LABELS = ("train_label.xml", "test_label.xml")
KEYPOINTS = ("keypoint_train.txt", "keypoint_test.txt")
ENCODING = "gb2312"

KEYPOINT_NUMBERS = 40
"""Two for each of 20 points, between the path and the view."""

MISTYPED_VEHICLES = (3, 7, 41)
"""Vehicles that older copies of the labels give type 0; the authors corrected it to 2, an SUV."""
WRONG_TYPE, RIGHT_TYPE = 0, 2

NAME = re.compile(
    r"(?P<pid>[0-9]{4})_c(?P<cam>[0-9]{3})_(?P<time>[0-9]{8})_(?P<n>[0-9]+)(?i:\.jpg)"
)
_LIST_NAME = re.compile(r"(?:name|gt|jk|list|test)_[^/]+\.txt")
_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
_REPAIR = "Copy the file from the release again."


class Type(NamedTuple):
    """Colour and type of the vehicle in an image, as numbers of the data set's own tables."""

    colour: int
    kind: int


def is_veri776(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of VeRi-776."""
    return bool(homes_of(paths, MARKERS))


def read_veri776(storage: Storage) -> Reading:
    """Read files in the layout of VeRi-776.

    Lists, labels and keypoint files may be missing: then every image of a folder is used, has no
    `attrs`, or has the view -1.

    Args:
        storage: Folder or archive that holds `image_train`, `image_query` and `image_test`, here or
            further down. The keypoint files may lie anywhere.

    Raises:
        DataError: A folder or a listed image is missing, a list, label or keypoint file is
            damaged, or a split has no image.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    listed = read_name_lists(storage, home)
    with_list = {path.partition("/")[0] for path in listed}
    types = read_types(storage, home)
    views = read_views(storage, paths)

    def judge(path: str) -> Row | str:
        row = parse_row(path)
        if isinstance(row, Row) and path.partition("/")[0] in with_list and path not in listed:
            return UNLISTED
        return row

    def known(path: str) -> str | None:
        name = path.rpartition("/")[2]
        if name in (*LABELS, *KEYPOINTS):
            return LABEL_FILE
        return LIST_FILE if _LIST_NAME.fullmatch(path.removeprefix(home)) else None

    rows, ignored = sort_files(paths, home, judge, known)
    require_listed(storage, {home + path: name for path, name in listed.items()}, rows)
    require_splits(
        rows, storage, tuple(SPLIT_FOLDERS.values()), "image_train/0001_c001_00082028_0.jpg"
    )
    rows = [_with_labels(row, types, views) for row in rows]
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=LAYOUT,
        rows=tuple(rows),
        ignored=tuple(ignored),
        notes=tuple(_label_warnings(rows, types)),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def parse_row(path: str) -> Row | str:
    """Make a row of an image by its path below the home of the data set.

    Returns:
        The row, or why the image is none of the layout.
    """

    def make(split: str, name: re.Match[str]) -> Row:
        camera = int(name["cam"])
        return Row(
            path=path,
            split=split,
            pid=int(name["pid"]),
            camid=camera - 1,
            cam_raw=str(camera),
            object="vehicle",
            frame=int(name["time"]),
        )

    return judge_by_folder(path, SPLIT_FOLDERS, NAME, make)


def read_name_lists(storage: Storage, home: str) -> dict[str, str]:
    """Read the lists of names that are there.

    Returns:
        The list of each image, by its path below `home`.
    """
    return {
        f"{folder}/{line.strip()}": name
        for folder, name in NAME_LISTS.items()
        if storage.has_file(home + name)
        for line in storage.read_text(home + name).splitlines()
        if line.strip()
    }


def read_types(storage: Storage, home: str) -> dict[str, Type]:
    """Read colour and type of the images from the label files that are there, by name.

    Raises:
        DataError: A file is no XML, or an item lacks an attribute.
    """
    types: dict[str, Type] = {}
    for path in (home + name for name in LABELS):
        if not storage.has_file(path):
            continue
        try:
            for item in _parse_xml(storage.read(path)).iter("Item"):
                kind = Type(int(item.attrib["colorID"]), int(item.attrib["typeID"]))
                types[item.attrib["imageName"]] = kind
        except (ElementTree.ParseError, KeyError, ValueError) as error:
            found = f"{storage.root}: {path} cannot be read ({error})"
            expected = "items with imageName, colorID and typeID"
            raise DataError(found, expected, _REPAIR) from None
    return types


def read_views(storage: Storage, paths: Iterable[str]) -> dict[str, int]:
    """Read the view of images from the keypoint files that are there, by name.

    Queries are copies of test images and share a file with them, so folders are no part of it.

    Raises:
        DataError: A line is no path, 40 numbers and a view from 0.
    """
    views = {}
    for path in paths:
        if path.rpartition("/")[2] not in KEYPOINTS or is_sidecar(path):
            continue
        for position, line in enumerate(storage.read_text(path).splitlines(), start=1):
            words = line.split()
            if not words:
                continue
            if len(words) != KEYPOINT_NUMBERS + 2 or not words[-1].isdecimal():
                raise DataError(
                    f"{storage.root}: line {position} of {path} has {len(words)} words",
                    f"a path, {KEYPOINT_NUMBERS} numbers and a view",
                    _REPAIR,
                )
            views[words[0].rpartition("/")[2]] = int(words[-1])
    return views


def _parse_xml(data: bytes) -> ElementTree.Element:
    # the parser refuses the encoding that the files declare, so it gets text without declaration
    text = _DECLARATION.sub("", data.decode(ENCODING), count=1)
    if "<!" in text:
        raise ValueError("it defines entities or has comments")
    return ElementTree.fromstring(text)  # noqa: S314 - without definitions nothing can expand


def _with_labels(row: Row, types: Mapping[str, Type], views: Mapping[str, int]) -> Row:
    name = row.path.rpartition("/")[2]
    attrs = None
    if name in types:
        colour, kind = types[name]
        if row.pid in MISTYPED_VEHICLES and kind == WRONG_TYPE:
            kind = RIGHT_TYPE
        attrs = json.dumps({"colour": colour, "type": kind})
    return replace(row, viewid=views.get(name, -1), attrs=attrs)


def _label_warnings(rows: Sequence[Row], types: Mapping[str, Type]) -> Iterator[str]:
    blind = sum(row.viewid < 0 for row in rows)
    if blind:
        yield f"{blind} of {len(rows)} images without a view label: view -1"
    old = {
        row.pid
        for row in rows
        if row.pid in MISTYPED_VEHICLES
        and types.get(row.path.rpartition("/")[2], Type(0, RIGHT_TYPE)).kind == WRONG_TYPE
    }
    if old:
        vehicles = ", ".join(str(pid) for pid in MISTYPED_VEHICLES if pid in old)
        change = f"type {WRONG_TYPE} of vehicle {vehicles} is read as {RIGHT_TYPE}"
        yield f"labels of an older copy: {change}"
