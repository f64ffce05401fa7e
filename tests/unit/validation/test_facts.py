"""Facts of a data set as a whole."""

import io
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest
from PIL import Image

from reid.data.manifest import EthicsRecord, Manifest
from reid.data.storage import Storage
from reid.validation.evidence import Evidence
from reid.validation.facts import FACTS, collect_facts
from reid.validation.official import OfficialCount
from reid.validation.profile import GreyLevels

ROWS = [
    {"split": "train", "pid": 1, "camid": 0},
    {"split": "train", "pid": 1, "camid": 2},
    {"split": "train", "pid": 2, "camid": 2},
    {"split": "query", "pid": 3, "camid": 0},
    {"split": "query", "pid": 4, "camid": 0},
    {"split": "gallery", "pid": 3, "camid": 1},
    {"split": "gallery", "pid": 4, "camid": 0},
]


def collect(manifest: Manifest, storage: Any = None, **more: Any) -> pd.DataFrame:
    return collect_facts(Evidence(manifest, storage or Mock(spec=Storage), **more), FACTS)


def column(facts: pd.DataFrame, name: str) -> dict[str, Any]:
    rows = facts[["subject", name]].dropna()
    return dict(zip(rows["subject"], rows[name], strict=True))


def test_facts_of_a_sound_data_set(make_manifest: Any) -> None:
    manifest = make_manifest(ROWS, camera_count=3, unlisted=("odd.jpg",), generator={"seed": 1})
    facts = collect(manifest)
    assert list(facts.columns) == ["subject", *FACTS]
    assert column(facts, "label_images") == {"person toy:1": 2, "person toy:2": 1}
    assert column(facts, "label_cameras") == {"person toy:1": 2, "person toy:2": 1}
    cameras = {"camid 0": True, "camid 1": False, "camid 2": True}
    assert column(facts, "all_cameras_in_train") == cameras
    assert column(facts, "no_unlisted_images") == {"odd.jpg": False}
    assert column(facts, "official_counts") == {}


def test_a_subset_need_not_show_every_camera(make_manifest: Any) -> None:
    facts = collect(make_manifest(ROWS, camera_count=3))
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
    facts = collect(make_manifest(ROWS), exclude_same_camera=exclude)
    assert column(facts, "valid_queries") == {subject: valid}


def test_a_set_without_test_images_has_no_queries_to_count(make_manifest: Any) -> None:
    assert column(collect(make_manifest(ROWS[:3])), "valid_queries") == {}


def test_official_counts_become_facts_by_confidence(make_manifest: Any) -> None:
    official = [
        OfficialCount(split="train", images=3, ids=5, source="s", confidence="measured"),
        OfficialCount(split="gallery", junk=7, source="s", confidence="literature"),
    ]
    facts = collect(make_manifest(ROWS), official=official)
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
        (EthicsRecord("own", "withdrawn", "no"), True),
    ],
)
def test_terms_of_use_are_stated(
    make_manifest: Any, record: EthicsRecord | None, present: bool
) -> None:
    facts = collect(make_manifest(ROWS, ethics=record))
    assert list(column(facts, "ethics_record_present").values()) == [present]


@pytest.mark.parametrize(("who", "fine"), [("", False), ("A. Person: published numbers", True)])
def test_withdrawn_data_are_acknowledged(make_manifest: Any, who: str, fine: bool) -> None:
    record = EthicsRecord("none", "withdrawn", "no", who)
    facts = collect(make_manifest(ROWS, ethics=record, benchmark="dukemtmcreid"))
    subject = 'dukemtmcreid is withdrawn: add acknowledge_withdrawn: "<who, and why>"'
    assert column(facts, "withdrawn_acknowledged") == {subject: fine}


@pytest.mark.parametrize("record", [None, EthicsRecord("own", "open", "yes")])
def test_other_data_need_no_acknowledgement(
    make_manifest: Any, record: EthicsRecord | None
) -> None:
    facts = collect(make_manifest(ROWS, ethics=record))
    assert column(facts, "withdrawn_acknowledged") == {}


def test_only_what_a_suite_asks_for_is_computed(make_manifest: Any) -> None:
    evidence = Evidence(make_manifest(ROWS), Mock(spec=Storage))
    facts = collect_facts(evidence, ["valid_queries", "nonsense"])
    assert list(facts.columns) == ["subject", "valid_queries"]
    assert len(facts) == 1


def test_a_set_without_cameras_is_not_asked_for_two_of_them(make_manifest: Any) -> None:
    facts = collect(make_manifest([row | {"camid": None} for row in ROWS[:3]]))
    assert column(facts, "label_images") == {"person toy:1": 2, "person toy:2": 1}
    assert column(facts, "label_cameras") == {}


def test_leaks_twins_and_spread_become_facts(make_manifest: Any) -> None:
    hashes = {"phash64": 0x0123456789ABCDEF}
    rows = [row | hashes for row in ROWS] + [{"split": "pretrain", "pid": None}]
    rows[0] |= {"sha256": bytes(32)}
    manifest = make_manifest([*rows, {"split": "pretrain", "pid": 9, "sha256": b"x" * 32}])
    other = make_manifest([{"split": "query", "pid": 1, "sha256": b"x" * 32}])
    facts = collect(manifest, others=[other])
    assert set(column(facts, "no_test_image_in_pretrain").values()) == {False}
    assert set(column(facts, "no_near_duplicates_across_train_test").values()) == {False}
    assert column(facts, "label_spread") == {}


def test_grey_levels_are_measured_if_a_profile_is_on_record(make_manifest: Any) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 8), (50, 50, 50)).save(buffer, "png")
    storage = Mock(spec=Storage)
    storage.read.return_value = buffer.getvalue()
    profile = {0: GreyLevels(70.0, 3.0, 64)}
    facts = collect(make_manifest(ROWS), storage=storage, profile=profile)
    subject = "camid 0: mean 50.0, std 0.0; on record 70.0 and 3.0"
    assert column(facts, "mean_drift") == {subject: 20.0}
    assert column(facts, "std_drift") == {subject: 3.0}
