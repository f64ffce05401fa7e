"""What our readers make of the file trees whose rows the code of TransMatcher gave for a pack.

The pack lists the files of each tree, and of each image the person, camera and time. A data set
that is not known here fails, and so does an option. Where we number otherwise on purpose:

- Training persons have other numbers upstream (ranks, for some sets); only who is who is compared,
  and how many there are. Query and gallery keep their numbers, but those of MSMT17 are shifted by
  the number of training persons when both parts are trained on; we name the part instead.
- Cameras of ClonedPerson count within a scene upstream, so that cameras of different scenes are
  taken for one; ours are ranks of scene and camera.
- A camera that its scene of RandPerson has not gets the number of the next scene's first one
  upstream; we refuse the image.
- Images without a time have time 0 upstream and none here.
- When all of MSMT17 is trained on, upstream still lists queries and gallery, a second time; each of
  our images has one split, so that they are read without the option.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reid.data.readers import Reading, Row, read_layout
from reid.data.readers.randperson import CAMERA_COUNT, FIRST_CAMERA, NAME
from reid.data.readers.reading import BAD_NAME
from reid.data.storage import open_storage
from tests.golden.transmatcher_pack import packs

TESTED = ("query", "gallery")


def as_ranked(row: Row) -> int | None:
    return row.camid


def within_scene(row: Row) -> int | None:
    return int(str(row.cam_raw).partition("c")[2])


def nothing(_path: str) -> bool:
    return False


def of_another_scene(path: str) -> bool:
    """The camera has the number of a later scene's, or is none of RandPerson."""
    name = NAME.fullmatch(path.rpartition("/")[2])
    assert name, path
    scene = int(name["scene"])
    end = (*FIRST_CAMERA, CAMERA_COUNT)[scene + 1]
    return FIRST_CAMERA[scene] + int(name["cam"]) >= end


@dataclass(frozen=True)
class Set:
    """How we read a data set of the pack.

    Args:
        below: Folder that our layout has around the tree.
        options: Those of our reader that make it count as upstream does.
        camera: What of a row is the camera upstream.
        refused: Tells by its path which image is none of the data set for us.
    """

    layout: str
    below: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    camera: Callable[[Row], int | None] = as_ranked
    refused: Callable[[str], bool] = nothing


SETS = {
    "market": Set("market1501", options=(("time_mode", "qaconv"),)),
    "cuhk03_np": Set("cuhk03_np", below="detected/"),
    "msmt": Set("msmt17"),
    "msmt_all": Set("msmt17"),
    "randperson": Set("randperson", refused=of_another_scene),
    "clonedperson": Set("clonedperson", camera=within_scene),
}
OPTIONS = {"combine_all": "use_test"}
"""Ours by the name of the upstream option."""

LIST_FOLDERS = {
    "list_train.txt": "train",
    "list_val.txt": "train",
    "list_query.txt": "test",
    "list_gallery.txt": "test",
}
"""Where the images of a list lie: the pack does not list their files beside the lists."""


class Image(NamedTuple):
    """A row of the pack."""

    person: int
    camera: int
    seconds: float


@dataclass(frozen=True)
class Case:
    """One data set of one pack."""

    pack: Path
    name: str

    @property
    def facts(self) -> dict[str, Any]:
        return read_datasets(self.pack)[self.name]

    @property
    def result(self) -> dict[str, Any]:
        return self.facts["result"]

    @property
    def all_trained_on(self) -> bool:
        return self.facts["kwargs"].get("combine_all", False)

    @property
    def ours(self) -> Set:
        assert self.name in SETS, f"{self.name}: no reader is named for this data set"
        return SETS[self.name]

    def files(self) -> list[str]:
        listed = [
            f"{LIST_FOLDERS[name]}/{line.split()[0]}"
            for name, text in self.facts["text_files"].items()
            for line in text.splitlines()
        ]
        return [*self.facts["files"], *listed]

    def expected(self, split: str) -> dict[str, Image]:
        """The rows of a split by the path below our layout's home, without what we refuse."""
        folder, files = self.result["paths"][f"{split}_path"], set(self.files())
        found = {}
        for name, *facts in self.result[split]:
            path = name if name in files else f"{folder}/{name}"
            found[self.ours.below + path] = Image(*facts)
        assert len(found) == len(self.result[split])
        return {path: image for path, image in found.items() if not self.ours.refused(path)}

    @property
    def options(self) -> dict[str, Any]:
        """Our options for those that the pack names."""
        return {OPTIONS[name]: value for name, value in self.facts["kwargs"].items()}

    def read(self, root: Path, options: dict[str, Any]) -> Reading:
        """Make the tree, whose files may be empty, and read it."""
        home = root / self.ours.below
        for path, text in {**dict.fromkeys(self.files(), ""), **self.facts["text_files"]}.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text)
        storage = open_storage(root)
        options = {**dict(self.ours.options), **options}
        return read_layout(self.ours.layout, storage, options)


def read_datasets(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")).get("datasets", {})


CASES = [
    Case(path, name) for param in packs() for path in param.values for name in read_datasets(path)
]
each = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case.pack.parent.name}-{case.name}"
)


def scored(reading: Reading, split: str) -> dict[str, Row]:
    """Rows of a split without junk, which upstream drops."""
    return {row.path: row for row in reading.rows if row.split == split and row.flag != "junk"}


def compare_places(case: Case, rows: dict[str, Row], images: dict[str, Image]) -> None:
    assert rows.keys() == images.keys()
    for path, row in rows.items():
        assert case.ours.camera(row) == images[path].camera, path
        assert math.isclose(row.timestamp or 0, images[path].seconds, rel_tol=1e-12), path


def test_packs_are_there() -> None:
    assert CASES


@each
def test_the_same_images_are_trained_on(case: Case, tmp_path: Path) -> None:
    reading = case.read(tmp_path, case.options)
    rows, images = scored(reading, "train"), case.expected("train")
    compare_places(case, rows, images)
    # one of our persons for each of theirs
    pairs = {((row.pid_space, row.pid), images[path].person) for path, row in rows.items()}
    assert [len(set(side)) for side in zip(*pairs, strict=True)] == [len(pairs)] * 2
    assert len({person for _, person, *_ in case.result["train"]}) == case.result["num_train_ids"]


@each
@pytest.mark.parametrize("split", TESTED)
def test_the_same_images_are_tested_on(case: Case, split: str, tmp_path: Path) -> None:
    reading = case.read(tmp_path, {})
    rows, images = scored(reading, split), case.expected(split)
    compare_places(case, rows, images)
    trained = len({row.pid for row in reading.rows if row.split == "train"})
    shift = trained if case.all_trained_on else 0
    assert {path: (row.pid or 0) + shift for path, row in rows.items()} == {
        path: image.person for path, image in images.items()
    }


@each
def test_nothing_is_tested_on_where_all_is_trained_on(case: Case, tmp_path: Path) -> None:
    splits = {row.split for row in case.read(tmp_path, case.options).rows}
    tested = [] if case.all_trained_on else [split for split in TESTED if case.result[split]]
    assert splits == {"train", *tested}


@each
def test_what_is_refused_is_ignored_by_its_name(case: Case, tmp_path: Path) -> None:
    ignored = {file.path: file.reason for file in case.read(tmp_path, {}).ignored}
    refused = {case.ours.below + path for path in case.files() if case.ours.refused(path)}
    assert {path for path, reason in ignored.items() if reason == BAD_NAME} == refused
