"""Facts of a data set as a whole."""

import dataclasses
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reid.data.manifest import EthicsRecord
from reid.errors import DataError, ParamsError
from reid.validation.facts import COLUMNS, collect_facts
from reid.validation.official import OfficialCount, read_official

ROWS = [
    {"split": "train", "pid": 1, "camid": 0},
    {"split": "train", "pid": 1, "camid": 2},
    {"split": "train", "pid": 2, "camid": 2},
    {"split": "query", "pid": 3, "camid": 0},
    {"split": "query", "pid": 4, "camid": 0},
    {"split": "gallery", "pid": 3, "camid": 1},
    {"split": "gallery", "pid": 4, "camid": 0},
]


def column(facts: pd.DataFrame, name: str) -> dict[str, Any]:
    rows = facts[["subject", name]].dropna()
    return dict(zip(rows["subject"], rows[name], strict=True))


def test_facts_of_a_sound_data_set(make_manifest: Any) -> None:
    manifest = make_manifest(ROWS, camera_count=3, unlisted=("odd.jpg",), generator={"seed": 1})
    facts = collect_facts(manifest, True, [])
    assert list(facts.columns) == list(COLUMNS)
    assert column(facts, "label_images") == {"person toy:1": 2, "person toy:2": 1}
    assert column(facts, "label_cameras") == {"person toy:1": 2, "person toy:2": 1}
    cameras = {"camid 0": True, "camid 1": False, "camid 2": True}
    assert column(facts, "all_cameras_in_train") == cameras
    assert column(facts, "no_unlisted_images") == {"odd.jpg": False}
    assert column(facts, "official_counts") == {}


def test_a_subset_need_not_show_every_camera(make_manifest: Any) -> None:
    facts = collect_facts(make_manifest(ROWS, camera_count=3), True, [])
    assert column(facts, "all_cameras_in_train") == {}


@pytest.mark.parametrize(
    ("exclude", "subject", "valid"),
    [
        (True, "1 of 2 queries have a gallery image of another camera", 1),
        (False, "2 of 2 queries have a gallery image", 2),
    ],
)
def test_valid_queries_depend_on_the_protocol(
    make_manifest: Any, exclude: bool, subject: str, valid: int
) -> None:
    facts = collect_facts(make_manifest(ROWS), exclude, [])
    assert column(facts, "valid_queries") == {subject: valid}


def test_a_set_without_test_images_has_no_queries_to_count(make_manifest: Any) -> None:
    assert column(collect_facts(make_manifest(ROWS[:3]), True, []), "valid_queries") == {}


def test_official_counts_are_compared_cell_by_cell(make_manifest: Any) -> None:
    official = [
        OfficialCount(split="train", images=3, ids=5, source="s", confidence="measured"),
        OfficialCount(split="gallery", junk=7, source="s", confidence="literature"),
    ]
    facts = collect_facts(make_manifest(ROWS), True, official)
    assert column(facts, "official_counts") == {
        "train images: 3, officially 3": True,
        "train ids: 2, officially 5": False,
    }
    found = column(facts, "official_counts_literature")
    assert found == {"gallery junk: 0, officially 7": False}


@pytest.mark.parametrize(
    ("record", "present"),
    [
        (None, False),
        (EthicsRecord("own", "agreement", "yes"), True),
        (EthicsRecord("", "agreement", "yes"), False),
        (EthicsRecord("own", "whatever", "yes"), False),
        (EthicsRecord("own", "open", "perhaps"), False),
        (EthicsRecord("own", "withdrawn", "no"), False),
        (EthicsRecord("own", "withdrawn", "no", "A. Person: published numbers"), True),
    ],
)
def test_terms_of_use_are_stated(
    make_manifest: Any, record: EthicsRecord | None, present: bool
) -> None:
    facts = collect_facts(make_manifest(ROWS, ethics=record), True, [])
    assert list(column(facts, "ethics_record_present").values()) == [present]


def test_the_official_table_is_looked_up_by_benchmark(make_manifest: Any) -> None:
    table = Path(__file__).parents[3] / "params/datasets/official.yaml"
    meta = make_manifest(ROWS).meta
    for benchmark in ("market1501", "market1501_500k"):
        entries = read_official(table, dataclasses.replace(meta, benchmark=benchmark))
        assert {entry.split for entry in entries} == {"train", "query", "gallery"}
    with pytest.raises(DataError, match="toy: no official counts of benchmark None; expected one"):
        read_official(table, meta)


def test_a_malformed_table_is_an_error(make_manifest: Any, tmp_path: Path) -> None:
    table = tmp_path / "official.yaml"
    table.write_text("datasets: {x: [{split: train, image: 3, source: s, confidence: measured}]}")
    with pytest.raises(ParamsError, match="did you mean 'images'"):
        read_official(table, make_manifest(ROWS).meta)
