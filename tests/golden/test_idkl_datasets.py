"""Rows of the readers against the listings of the published code of IDKL.

The same images are in the same part, of the same person and with the same camera. By design these
are written down otherwise here, and translated below:

- a camera is counted from 0, and is the true one also where upstream tells modalities apart alone;
- classes are ranks of the persons' numbers. Upstream's follow the order of SYSU-MM01's id lists,
  and that of a Python set elsewhere, so that there only the grouping can be compared;
- queries and gallery of RegDB and LLCM are one pool, from which a protocol takes a modality;
- RegDB's images have the names of the released data set, of which the pack's are a short form.

Every data set and entry comes from the pack; one that is not known here fails. A pack is IDKL's if
it has a data set of this form.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reid.data.indexing import train_labels
from reid.data.readers import Row, read_layout, recognise
from reid.data.storage import open_storage

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
ENTRIES = {"files", "text_files", "result"}
PARTS = {"train", "query", "gallery"}
SYSU_ID_LISTS = ("exp/train_id.txt", "exp/val_id.txt")
MODALITY_CODES = {"rgb": 2, "ir": 3}
_SHORT_NAME = re.compile(r"(\w+)/(\d+)/([vt])_(\d+)_\2\.bmp")


def _camera_number(row: Row) -> int:
    assert row.camid is not None
    return row.camid + 1


def _modality_code(row: Row) -> int:
    return MODALITY_CODES[row.modality]


class Known(NamedTuple):
    """What a data set of the pack is here, and how upstream writes down a camera."""

    layout: str
    camera: Callable[[Row], int]


DATASETS = {
    "sysu": Known("sysu_mm01", _camera_number),
    "regdb": Known("regdb", _modality_code),
    "llcm": Known("llcm", _modality_code),
}


def _datasets(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get("datasets", {})
    return found if any(set(facts) == ENTRIES for facts in found.values()) else {}


def _cases() -> list[Any]:
    return [
        pytest.param(path, name, id=f"{path.parent.name}-{name}")
        for path in sorted(ROOT.glob("*/pack.json"))
        for name in _datasets(path)
    ]


each = pytest.mark.parametrize(("path", "name"), _cases())


def _released(path: str) -> str:
    """Name an image of RegDB as the released data set does."""
    return _SHORT_NAME.sub(lambda m: f"{m[1]}/{m[2]}/male_front_{m[3]}_{m[4]:0>5}_{m[2]}.bmp", path)


def _read(facts: dict[str, Any], name: str, root: Path) -> list[Row]:
    """Make the tree of a data set, where the images need no content, and read it."""
    texts = {list_: _translated(text) for list_, text in facts["text_files"].items()}
    listed = [line.split()[0] for text in texts.values() for line in text.splitlines()]
    images = facts["files"] or listed
    for path, text in (*texts.items(), *((path, "") for path in images)):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    storage = open_storage(root)
    assert recognise(storage) == DATASETS[name].layout
    return list(read_layout(DATASETS[name].layout, storage).rows)


def _translated(text: str) -> str:
    return "".join(f"{_released(line)}\n" for line in text.splitlines())


def _is_in(part: str, row: Row) -> bool:
    if row.split == "test_pool":
        return row.modality == ("ir" if part == "query" else "rgb") and part != "train"
    return row.split == part


def _published(facts: dict[str, Any], part: str) -> dict[str, tuple[int, int]]:
    rows = facts["result"][part]["rows"]
    found = {_released(path): (number, camera) for path, number, camera in rows}
    assert len(found) == len(rows)
    return found


def test_packs_are_there() -> None:
    assert _cases()


@each
def test_every_entry_is_known(path: Path, name: str) -> None:
    facts = _datasets(path)[name]
    assert name in DATASETS
    assert set(facts) == ENTRIES
    assert set(facts["result"]) == PARTS
    assert all(set(part) == {"rows", "num_ids"} for part in facts["result"].values())


@each
def test_parts_hold_the_published_images(path: Path, name: str, tmp_path: Path) -> None:
    facts = _datasets(path)[name]
    rows = _read(facts, name, tmp_path)
    for part in PARTS:
        mine = [row for row in rows if _is_in(part, row)]
        published = _published(facts, part)
        assert {row.path: DATASETS[name].camera(row) for row in mine} == {
            image: camera for image, (_, camera) in published.items()
        }
        assert len({row.pid for row in mine}) == facts["result"][part]["num_ids"]
        if part != "train":
            assert all(row.pid == published[row.path][0] for row in mine)
    assert len(rows) == sum(len(facts["result"][part]["rows"]) for part in PARTS)


@each
def test_classes_are_the_published_ones_in_order_of_the_persons(
    path: Path, name: str, tmp_path: Path
) -> None:
    facts = _datasets(path)[name]
    train = [row for row in _read(facts, name, tmp_path) if row.split == "train"]
    published = {image: number for image, (number, _) in _published(facts, "train").items()}
    person_of = {published[row.path]: row.pid for row in train}
    assert all(person_of[published[row.path]] == row.pid for row in train)
    ours = train_labels(train, set())
    assert list(ours.items()) == [(pid, i) for i, pid in enumerate(sorted(person_of.values()))]
    if name == "sysu":
        texts = [facts["text_files"][list_] for list_ in SYSU_ID_LISTS]
        listed = [int(pid) for text in texts for pid in text.strip().split(",")]
        assert person_of == {number: listed[number] for number in person_of}
    else:
        assert sorted(person_of) == list(ours.values())
    if name == "llcm":
        assert all(f"_c{row.camid + 1:02}_" in row.path for row in train)
