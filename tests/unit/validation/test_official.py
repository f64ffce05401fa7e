"""What is known of public data sets, and its comparison with a manifest."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from reid.errors import DataError, ParamsError
from reid.params import read_yaml
from reid.validation.official import (
    UNKNOWN_CAMERAS,
    CameraFacts,
    OfficialCount,
    OfficialTable,
    compare_counts,
    read_cameras,
    read_official,
)

TABLE = Path(__file__).parents[3] / "params/datasets/official.yaml"
KNOWN = OfficialTable.model_validate(read_yaml(TABLE))

ROWS = [
    {"split": "train", "pid": 1, "camid": 0},
    {"split": "train", "pid": 1, "camid": 1, "modality": "ir", "band": "nir"},
    {"split": "train", "pid": 2, "camid": 1, "modality": "ir", "band": "nir"},
    {"split": "test_pool", "pid": 3, "camid": 0},
    {"split": "ignored", "pid": 4, "camid": 0},
]


def entry(**cells: Any) -> OfficialCount:
    return OfficialCount(**{"source": "s", "confidence": "measured"} | cells)


@pytest.mark.parametrize(
    ("official", "subjects", "agrees"),
    [
        (
            entry(split="train", images=3, ids=5),
            ["train images: 3, officially 3", "train ids: 2, officially 5"],
            [True, False],
        ),
        (entry(split="gallery", junk=7), ["gallery junk: 0, officially 7"], [False]),
        (
            entry(split="train", modality="ir", images=2, cams=1),
            ["train ir images: 2, officially 2", "train ir cams: 1, officially 1"],
            [True, True],
        ),
        (
            entry(split="all", images=4, ids=3),
            ["all images: 4, officially 4", "all ids: 3, officially 3"],
            [True, True],
        ),
        (
            entry(split="train", images=4, tolerance=0.25),
            ["train images: 3, officially about 4"],
            [True],
        ),
        (
            entry(split="train", images=4, tolerance=0.2),
            ["train images: 3, officially about 4"],
            [False],
        ),
    ],
)
def test_counts_are_compared_cell_by_cell(
    make_manifest: Any, official: OfficialCount, subjects: list[str], agrees: list[bool]
) -> None:
    table = compare_counts(make_manifest(ROWS).frame, [official], literature=False)
    assert list(table["subject"]) == subjects
    assert list(table["agrees"]) == agrees


def test_literature_is_compared_apart(make_manifest: Any) -> None:
    official = [
        entry(split="train", images=1, confidence=confidence)
        for confidence in ("measured", "upstream", "literature")
    ]
    frame = make_manifest(ROWS).frame
    assert len(compare_counts(frame, official, literature=False)) == 2
    assert len(compare_counts(frame, official, literature=True)) == 1


def test_the_table_is_looked_up_by_benchmark(make_manifest: Any) -> None:
    meta = make_manifest(ROWS).meta
    for benchmark in ("market1501", "market1501_500k"):
        entries = read_official(TABLE, dataclasses.replace(meta, benchmark=benchmark))
        assert {entry.split for entry in entries} == {"train", "query", "gallery"}
    with pytest.raises(DataError, match="toy: no official counts of benchmark None; expected one"):
        read_official(TABLE, meta)


def test_cameras_are_looked_up_by_benchmark_or_name(make_manifest: Any, tmp_path: Path) -> None:
    meta = make_manifest(ROWS).meta
    sysu = read_cameras(TABLE, dataclasses.replace(meta, benchmark="sysu_mm01"))
    assert sysu.places == {2: 1}
    assert sysu.gives == {(0, "rgb"), (1, "rgb"), (2, "ir"), (3, "rgb"), (4, "rgb"), (5, "ir")}
    assert read_cameras(TABLE, meta) == UNKNOWN_CAMERAS
    own = tmp_path / "official.yaml"
    own.write_text("datasets: {}\ncameras: {toy: {rgb: [0, 1], ir: [1], source: us}}")
    assert read_cameras(own, meta) == CameraFacts(rgb=(0, 1), ir=(1,), source="us")


def test_a_malformed_table_is_an_error(make_manifest: Any, tmp_path: Path) -> None:
    table = tmp_path / "official.yaml"
    table.write_text("datasets: {x: [{split: train, image: 3, source: s, confidence: measured}]}")
    with pytest.raises(ParamsError, match="did you mean 'images'"):
        read_official(table, make_manifest(ROWS).meta)


@pytest.mark.parametrize("key", KNOWN.datasets)
def test_every_count_states_something_and_its_source(key: str) -> None:
    for official in KNOWN.datasets[key]:
        assert official.cells()
        assert len(official.source) > 4
        assert official.tolerance == 0 or official.confidence == "literature"


@pytest.mark.parametrize("key", ["sysu_mm01", "regdb", "llcm"])
def test_counts_per_modality_add_up(key: str) -> None:
    entries = KNOWN.datasets[key]
    for split in ("train", "test_pool"):
        total = sum(e.images or 0 for e in entries if e.split == split and not e.modality)
        parts = sum(e.images or 0 for e in entries if e.split == split and e.modality)
        assert parts == total


def test_published_totals_add_up() -> None:
    def images(key: str) -> int:
        return sum(
            e.images or 0 for e in KNOWN.datasets[key] if not e.modality and e.split != "all"
        )

    assert images("sysu_mm01") == 44_745
    assert images("regdb") == 8_240
    assert images("llcm") == 46_767
    assert images("cuhk03_np_detected") == 14_097
    assert images("cuhk03_np_labeled") == 14_096
    assert images("msmt17") == images("msmt17_no_val")
    assert images("market1501_500k") == images("market1501") + 500_000
