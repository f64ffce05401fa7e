"""A synthetic world carries what no file name can say."""

import json
from pathlib import Path
from typing import Any

import pytest

from reid.data.readers.synthetic import read_synthetic
from reid.data.storage import open_storage
from reid.errors import DataError

PATHS = (
    "bounding_box_train/0001_c1s1_000100_01.jpg",
    "query/0002_c1s1_000200_00.jpg",
    "bounding_box_test/0002_c2s1_000300_01.jpg",
)


def facts(number: int) -> dict[str, Any]:
    return {
        "view": number,
        "occluded": number == 1,
        "occ_fraction": number / 10,
        "track": 7 + number,
        "time": 2.5 * number,
        "attrs": {"upper": "red", "bag": "none"} if number else {},
    }


@pytest.fixture
def world(tmp_path: Path) -> Path:
    root = tmp_path / "world"
    for path in PATHS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    attributes = {path: facts(number) for number, path in enumerate(PATHS)}
    (root / "synth.json").write_text(json.dumps({"seed": 3, "counts": {"cameras": 4}}))
    (root / "synth_attributes.json").write_text(json.dumps(attributes))
    return root


@pytest.mark.parametrize("above", [False, True])
def test_rows_carry_the_attributes(world: Path, above: bool) -> None:
    reading = read_synthetic(open_storage(world.parent if above else world))
    rows = {Path(row.path).name: row for row in reading.rows}
    row = rows["0002_c1s1_000200_00.jpg"]
    assert (row.viewid, row.occluded, row.occ_fraction) == (1, True, 0.1)
    assert (row.track_id, row.timestamp) == ("8", 2.5)
    assert row.attrs == '{"bag": "none", "upper": "red"}'
    assert rows["0001_c1s1_000100_01.jpg"].attrs is None


def test_the_world_is_open_and_its_people_synthetic(world: Path) -> None:
    reading = read_synthetic(open_storage(world))
    assert reading.ethics is not None
    assert (reading.ethics.status, reading.ethics.consent) == ("open", "synthetic")
    assert reading.benchmark is None
    assert reading.camera_count == 4
    assert reading.generator == {"seed": 3, "counts": {"cameras": 4}}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("synth.json", None, "world: no synth.json, here"),
        ("synth.json", "{", "synth.json is not valid JSON"),
        ("synth.json", "[]", "synth.json holds list; expected a JSON object"),
        ("synth.json", "{}", "synth.json lacks counts.cameras"),
        ("synth_attributes.json", "{}", "0002_c2s1_000300_01.jpg: not among the attributes"),
    ],
)
def test_damaged_worlds_are_errors(
    world: Path, file: str, content: str | None, message: str
) -> None:
    (world / file).unlink()
    if content is not None:
        (world / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read_synthetic(open_storage(world))
