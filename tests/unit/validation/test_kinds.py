"""Each kind of data under its own committed suite: sound data pass, each fault has one name."""

from pathlib import Path
from typing import Any

import pytest

from reid.data.manifest import Manifest
from reid.data.storage import open_storage
from reid.errors import GateError
from reid.validation import GateReport, run_gate

PARAMS = Path(__file__).parents[3] / "params"
IR = {"modality": "ir", "band": "nir"}
INFRARED_CAMERAS = (2, 5)

Rows = list[dict[str, Any]]


def shot(split: str, pid: int, camid: int, **more: Any) -> dict[str, Any]:
    """An image of a cross-modal data set, of the modality that its camera gives."""
    return (
        {"split": split, "pid": pid, "camid": camid, "path": f"cam{camid + 1}/{pid}{split}.jpg"}
        | (IR if camid in INFRARED_CAMERAS else {})
        | more
    )


def people(train: tuple[int, ...], test: tuple[int, ...]) -> Rows:
    """Everybody in every camera; infrared test images are queries."""
    rows = [shot("train", pid, camid) for pid in train for camid in range(6)]
    for pid in test:
        for camid in range(6):
            rows.append(shot("query" if camid in INFRARED_CAMERAS else "gallery", pid, camid))
    return rows


def validate(
    kind: str, manifest: Manifest, root: Path, others: tuple[Manifest, ...] = ()
) -> GateReport:
    """Run a committed suite; every listed file is there but those called `gone`."""
    for path in manifest.frame["path"]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        if "gone" not in path:
            (root / path).touch()
    return run_gate(
        manifest,
        open_storage(root),
        PARAMS / f"validation/{kind}.json",
        True,
        root / "out",
        None,
        others,
        PARAMS / "datasets",
    )


def failures(report: GateReport) -> dict[str, set[str]]:
    return {outcome.name: set(outcome.items) for outcome in report.errors}


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[GateReport]:
    """Reports of gates that stopped, which an exception would hide."""
    reports: list[GateReport] = []
    save = GateReport.save

    def remember(self: GateReport, path: Path) -> None:
        reports.append(self)
        save(self, path)

    monkeypatch.setattr(GateReport, "save", remember)
    return reports


def test_sound_cross_modal_data_pass(make_manifest: Any, tmp_path: Path) -> None:
    rows = people((1, 2), (3, 4))
    manifest = make_manifest(rows, benchmark="sysu_mm01", camera_count=6)
    report = validate("cross_modal", manifest, tmp_path)
    assert report.errors == report.warnings == report.notes == ()
    assert report.counts["gallery"]["images"] == 8


FAULTS: dict[str, Rows] = {
    "train_test_ids_disjoint": [shot("query", 1, 2), shot("gallery", 1, 0)],
    # cameras 2 and 3 stand in one place
    "query_has_cross_camera_match": [shot("query", 5, 2)],
    "labels_contiguous": [shot("train", 1, 0, label=7, path="label.jpg")],
    "junk_distractor_only_in_gallery": [shot("query", -1, 2, flag="junk")],
    "camera_in_official_range": [shot("train", 1, 6)],
    "modality_matches_band": [shot("train", 1, 0, band="thermal", path="band.jpg")],
    "track_time_ordered": [
        shot("train", 1, 0, path="late.jpg", track_id="t", frame=2, timestamp=1.0)
    ],
    "modality_matches_camera": [shot("train", 1, 0, path="colour.jpg", **IR)],
    "both_modalities_per_test_id": [shot("gallery", 6, 0), shot("gallery", 6, 1)],
    "listed_file_exists": [shot("train", 2, 0, path="gone.jpg")],
    "image_decodes": [shot("train", 2, 0, path="half.jpg", flag="broken", width=0, height=0)],
    "min_side": [shot("train", 2, 0, path="tiny.jpg", width=10, height=30)],
    "aspect_range": [shot("train", 2, 0, path="long.jpg", width=64, height=400)],
    "no_duplicate_bytes_across_train_test": [
        shot("train", 2, 0, path="one.jpg", sha256=b"a" * 32),
        shot("gallery", 3, 0, path="two.jpg", sha256=b"a" * 32),
    ],
    "no_query_copy_in_gallery": [
        shot("query", 3, 2, path="three.jpg", sha256=b"b" * 32),
        shot("gallery", 4, 0, path="four.jpg", sha256=b"b" * 32),
    ],
}
"""Name of an expectation to rows that break it and nothing else."""
COMPANIONS = [
    shot("gallery", 5, 1),
    shot("train", 1, 0, path="soon.jpg", track_id="t", frame=1, timestamp=2.0),
]


def test_each_fault_of_cross_modal_data_has_one_name(
    make_manifest: Any, tmp_path: Path, examined: list[GateReport]
) -> None:
    broken = [row for rows in FAULTS.values() for row in rows]
    rows = people((1, 2), (3, 4)) + COMPANIONS + broken
    manifest = make_manifest(rows, benchmark="sysu_mm01", camera_count=6)
    with pytest.raises(GateError, match="toy: 15 expectations failed"):
        validate("cross_modal", manifest, tmp_path)
    expected = {name: {row["path"] for row in rows} for name, rows in FAULTS.items()}
    assert failures(examined[0]) == expected
    assert {outcome.name for outcome in examined[0].warnings} == {"min_side", "aspect_range"}


def test_places_count_for_a_subset_too(make_manifest: Any, tmp_path: Path) -> None:
    rows = [*people((1, 2), (3, 4)), shot("query", 5, 2), shot("gallery", 5, 3)]
    manifest = make_manifest(rows, benchmark="sysu_mm01", camera_count=6)
    assert validate("cross_modal", manifest, tmp_path).errors == ()


def test_a_pool_shows_everybody_in_both_modalities(
    make_manifest: Any, tmp_path: Path, examined: list[GateReport]
) -> None:
    def pair(split: str, pid: int) -> Rows:
        thermal = {"modality": "ir", "band": "thermal", "path": f"t{pid}.bmp"}
        visible = {"split": split, "pid": pid, "camid": 0, "path": f"v{pid}.bmp"}
        return [visible, visible | thermal | {"camid": 1}]

    rows = pair("train", 1) + pair("train", 2) + pair("test_pool", 3)
    sound = make_manifest(rows, benchmark="regdb", camera_count=2)
    assert validate("cross_modal", sound, tmp_path).warnings == ()
    odd = make_manifest(rows + pair("test_pool", 4)[:1], benchmark="regdb", camera_count=2)
    with pytest.raises(GateError):
        validate("cross_modal", odd, tmp_path)
    assert failures(examined[-1]) == {"both_modalities_per_test_id": {"v4.bmp"}}


def test_vehicles_without_cameras(
    make_manifest: Any, tmp_path: Path, examined: list[GateReport]
) -> None:
    def vehicle(split: str, pid: int, name: str, **more: Any) -> dict[str, Any]:
        place = {"split": split, "pid": pid, "camid": None, "path": name, "object": "vehicle"}
        return place | {"width": 128, "height": 64} | more

    rows = [vehicle("train", 1, f"{n}.jpg") for n in (1, 2)]
    rows += [vehicle("test_pool", 2, f"{n}.jpg") for n in (3, 4)]
    report = validate("vehicle", make_manifest(rows, benchmark="vehicleid_800"), tmp_path)
    assert report.errors == report.warnings == ()
    rows += [vehicle("test_pool", 3, "5.jpg"), vehicle("train", 1, "6.jpg", height=500)]
    with pytest.raises(
        GateError, match=r"query_has_cross_camera_match \(5\.jpg\).*Remove the only"
    ):
        validate("vehicle", make_manifest(rows, benchmark="vehicleid_800"), tmp_path)
    assert failures(examined[-1]) == {
        "query_has_cross_camera_match": {"5.jpg"},
        "aspect_range": {"6.jpg"},
    }


def test_a_test_image_among_those_to_pretrain_on_stops(
    make_manifest: Any, tmp_path: Path, examined: list[GateReport]
) -> None:
    rows = [
        {"split": "pretrain", "pid": None, "camid": None, "path": f"us/{n}.jpg"} for n in range(3)
    ]
    manifest = make_manifest(rows, dataset="crawl")
    sound = make_manifest([{"split": "query", "pid": 1, "sha256": b"q" * 32}], dataset="market")
    report = validate("pretrain", manifest, tmp_path, (sound,))
    assert report.errors == report.warnings == report.notes == ()
    leaked = make_manifest(
        [{"split": "query", "pid": 1, "sha256": (1).to_bytes(32, "big"), "path": "q.jpg"}],
        dataset="market",
    )
    with pytest.raises(GateError, match=r"us/1\.jpg is query image q\.jpg of market"):
        validate("pretrain", manifest, tmp_path, (sound, leaked))
    assert set(failures(examined[-1])) == {"no_test_image_in_pretrain"}


def test_warnings_of_data_to_pretrain_on(make_manifest: Any, tmp_path: Path) -> None:
    rows = [
        {"split": "pretrain", "pid": None, "camid": None, "path": f"{n}.jpg", "sha256": bytes(32)}
        for n in range(2)
    ]
    report = validate("pretrain", make_manifest(rows, unlisted=("x.jpg",)), tmp_path)
    found = {outcome.name: outcome.items for outcome in report.warnings}
    assert found == {
        "no_duplicate_bytes_within_split": ("0.jpg", "1.jpg"),
        "no_unlisted_images": ("x.jpg",),
    }
