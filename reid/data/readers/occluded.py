"""The layouts of Occluded-REID and Partial-REID: hidden persons as queries, whole ones to find.

Neither set has cameras; as in published evaluations, each of the two folders counts as one.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from reid.data.manifest import EthicsRecord
from reid.data.readers.reading import BAD_NAME, OTHER_FOLDER, Reading, Row
from reid.data.readers.sorting import (
    any_named,
    find_home,
    homes_of,
    nothing_known,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage

PARSER_VERSION = 1
CAMERA_COUNT = 2
ETHICS = EthicsRecord(licence="research use only", status="research", consent="unknown")

GALLERY_FOLDER = "whole_body_images"


class Layout(NamedTuple):
    """How one of the two data sets is laid out.

    Attributes:
        key: Name of the layout.
        query_folder: Folder of the hidden persons.
        query_camera: What its pseudo camera is called.
        depth: Folders between the home of the data set and an image.
        name: What the names of images look like; copies differ in how many digits they write.
        like: An example of an image's path.
    """

    key: str
    query_folder: str
    query_camera: str
    depth: int
    name: re.Pattern[str]
    like: str

    @property
    def markers(self) -> tuple[str, ...]:
        """Folders that the layout has."""
        return (f"{self.query_folder}/", f"{GALLERY_FOLDER}/")


OCCLUDED = Layout(
    key="occluded_reid",
    query_folder="occluded_body_images",
    query_camera="occluded",
    depth=2,
    name=re.compile(r"(?P<pid>[0-9]{1,4})_(?P<n>[0-9]{1,4})(?i:\.tif)"),
    like="occluded_body_images/001/001_01.tif",
)
PARTIAL = Layout(
    key="partial_reid",
    query_folder="partial_body_images",
    query_camera="partial",
    depth=1,
    name=re.compile(r"(?P<pid>[0-9]{1,4})_(?P<n>[0-9]{1,4})(?i:\.jpg)"),
    like="partial_body_images/001_001.jpg",
)


def is_occluded_reid(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of Occluded-REID."""
    return _fits(paths, OCCLUDED)


def is_partial_reid(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of Partial-REID."""
    return _fits(paths, PARTIAL)


def read_occluded_reid(storage: Storage) -> Reading:
    """Read files in the layout of Occluded-REID, which is for testing only.

    Args:
        storage: Folder or archive that holds `occluded_body_images` and `whole_body_images`, here
            or further down.

    Raises:
        DataError: A folder is missing or holds no image of the layout.
    """
    return _read(storage, OCCLUDED)


def read_partial_reid(storage: Storage) -> Reading:
    """Read files in the layout of Partial-REID, which is for testing only.

    Its third folder, of occluded persons, has no part in the protocol.

    Args:
        storage: Folder or archive that holds `partial_body_images` and `whole_body_images`, here
            or further down.

    Raises:
        DataError: A folder is missing or holds no image of the layout.
    """
    return _read(storage, PARTIAL)


def judge(path: str, layout: Layout) -> Row | str:
    """Make a row of an image by its path below the home of the data set."""
    side, *between, name = path.split("/") if "/" in path else ("", path)
    if side not in (layout.query_folder, GALLERY_FOLDER) or len(between) != layout.depth - 1:
        return OTHER_FOLDER
    match = layout.name.fullmatch(name)
    if match is None:
        return BAD_NAME
    hidden = side == layout.query_folder
    return Row(
        path=path,
        split="query" if hidden else "gallery",
        pid=int(match["pid"]),
        camid=0 if hidden else 1,
        cam_raw=layout.query_camera if hidden else "whole",
        occluded=hidden,
    )


def _fits(paths: Sequence[str], layout: Layout) -> bool:
    named = any_named(paths, layout.query_folder, layout.name)
    return named and bool(homes_of(paths, layout.markers))


def _read(storage: Storage, layout: Layout) -> Reading:
    paths = storage.files()
    home = find_home(storage, paths, layout.markers)
    rows, ignored = sort_files(paths, home, lambda path: judge(path, layout), nothing_known)
    require_splits(rows, storage, ("query", "gallery"), layout.like)
    return Reading(
        layout=layout.key,
        parser_version=PARSER_VERSION,
        benchmark=layout.key,
        rows=tuple(rows),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )
