"""The gate runs the committed suite, writes what it found, and stops on errors."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reid.data.manifest import EthicsRecord, Manifest
from reid.data.storage import open_storage
from reid.errors import GateError
from reid.validation import GateReport, run_gate
from reid.validation.kinds import person_rules
from reid.validation.profile import write_profile

PARAMS = Path(__file__).parents[3] / "params"
SUITE = PARAMS / "validation/person.json"
OFFICIAL = PARAMS / "datasets/official.yaml"


Rows = list[dict[str, Any]]

# Two persons to train on and one to find, each seen by two cameras.
PLACES = [("train", 1), ("train", 2), ("gallery", 3)]
SOUND: Rows = [{"split": s, "pid": p, "camid": c} for s, p in PLACES for c in (0, 1)]
SOUND += [{"split": "query", "pid": 3, "camid": 0}]


def change(**cells: dict[str, Any]) -> Rows:
    """Copy the sound rows, with other cells in the rows `row0`, `row1` …"""
    return [row | cells.get(f"row{number}", {}) for number, row in enumerate(SOUND)]


def gate(manifest: Manifest, root: Path, *rules: str, **more: Any) -> GateReport:
    """Run the committed suite, or only some rules of it, which is faster."""
    for path in manifest.frame["path"]:
        (root / path).touch()  # an image that is there stays
    suite = json.loads(SUITE.read_text())
    if rules:
        suite["expectations"] = [e for e in suite["expectations"] if e["meta"]["name"] in rules]
    (root / "suite.json").write_text(json.dumps(suite))
    options = {
        "protocol_exclude_same_camera": True,
        "official_table": None,
        "out_dir": root / "out",
    }
    return run_gate(manifest, open_storage(root), root / "suite.json", **options | more)


def read_report(root: Path) -> dict[str, Any]:
    return json.loads((root / "out/report.json").read_text())


def test_sound_data_pass(make_manifest: Any, tmp_path: Path) -> None:
    report = gate(make_manifest(SOUND, camera_count=2), tmp_path)
    assert report.errors == report.warnings == ()
    assert {outcome.count for outcome in report.expectations} == {0}
    stored = read_report(tmp_path)
    assert stored["success"] is True
    assert {entry["name"] for entry in stored["expectations"]} == {r.name for r in person_rules()}


@pytest.fixture(scope="module")
def warned(
    make_manifest: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[GateReport, Path, Path]:
    """Run the gate twice over data that deserve warnings."""
    root = tmp_path_factory.mktemp("warned")
    rows = change(row0={"width": 20, "height": 100, "path": "<odd>.jpg"})
    manifest = make_manifest(rows, camera_count=3, unlisted=("x.jpg",), generator={"seed": 1})
    gate(manifest, root, out_dir=root / "one")
    return gate(manifest, root, out_dir=root / "two"), root / "one", root / "two"


def test_warnings_do_not_stop(warned: tuple[GateReport, Path, Path]) -> None:
    assert {outcome.name: outcome.items for outcome in warned[0].warnings} == {
        "min_side": ("<odd>.jpg",),
        "aspect_range": ("<odd>.jpg",),
        "all_cameras_in_train": ("camid 2",),
        "no_unlisted_images": ("x.jpg",),
    }


def test_what_is_written_depends_on_the_data_alone(warned: tuple[GateReport, Path, Path]) -> None:
    one, two = (sorted(folder.rglob("*.*")) for folder in warned[1:])
    assert [path.name for path in one] == ["facts.html", "images.html", "index.html", "report.json"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


def test_pages_are_readable_offline(warned: tuple[GateReport, Path, Path]) -> None:
    pages = {path.name: path.read_text() for path in (warned[1] / "data_docs").iterdir()}
    for page in pages.values():
        assert not re.search(r"https?:|src=|<script|<link|@import|url\(", page)
    assert "&lt;odd&gt;.jpg" in pages["index.html"]
    assert "Height is 1.2 to 4.5 times the width." in pages["images.html"]
    assert "error: Licence, status and consent are stated" in pages["facts.html"]
    assert "warning: Sides of 32 px or more." in pages["images.html"]


def test_the_overview_begins_with_what_matters(make_manifest: Any, tmp_path: Path) -> None:
    rows = change(row1={"width": 8, "height": 16})
    with pytest.raises(GateError):
        gate(make_manifest(rows), tmp_path, "min_side", "image_decodes")
    page = (tmp_path / "out/data_docs/index.html").read_text()
    parts = (
        "FAILED: 1 error (min_side), 1 warning, no note",
        "<h2>Errors: they stop the pipeline</h2>",
        "<h2>Warnings</h2>",
        "<h2>Counts</h2>",
        '<td>train</td><td class="number">4</td><td class="number">2</td>',
        "<h2>Passed</h2>",
    )
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert "<h2>Notes</h2>" not in page


def test_errors_stop_after_the_report_is_written(make_manifest: Any, tmp_path: Path) -> None:
    rows = change(row1={"width": 8, "height": 16}, row5={"camid": 0})
    rules = ("query_has_cross_camera_match", "min_side", "valid_queries", "image_decodes")
    with pytest.raises(GateError) as raised:
        gate(make_manifest(rows), tmp_path, *rules)
    message = str(raised.value)
    assert message.startswith(
        "toy: 3 expectations failed: query_has_cross_camera_match (006.jpg); min_side (001.jpg); "
        "valid_queries (0 of 1 queries have a gallery image of another camera); expected none. "
        "Remove these queries, or use the protocol no_camera"
    )
    assert message.endswith(f"See {tmp_path}/out/report.json.")
    assert "\n" not in message
    assert read_report(tmp_path)["errors"] == list(rules[:3])
    assert (tmp_path / "out/data_docs/index.html").is_file()


def test_a_single_camera_passes_under_its_protocol(make_manifest: Any, tmp_path: Path) -> None:
    rules = ("query_has_cross_camera_match", "valid_queries")
    manifest = make_manifest(change(row5={"camid": 0}))
    report = gate(manifest, tmp_path, *rules, protocol_exclude_same_camera=False)
    assert [outcome.success for outcome in report.expectations] == [True, True]


def test_what_is_only_told_neither_stops_nor_warns(make_manifest: Any, tmp_path: Path) -> None:
    values = (0, 2**64 - 1, 0, 2**64 - 1)
    rows = [{"split": "train", "pid": 1, "phash64": value} for value in values]
    rows += [{"split": "train", "pid": 2, "phash64": 0}] * 6
    report = gate(make_manifest(rows), tmp_path, "label_noise_guard")
    (note,) = report.notes
    assert report.errors == report.warnings == ()
    assert (note.severity, note.success, note.count) == ("info", True, 1)
    assert note.items[0].startswith("person toy:1: 42.7 of 64 bits differ between 4 images")
    assert report.verdict == "PASSED: no error, no warning, 1 note; 1 expectations"
    assert read_report(tmp_path)["notes"] == ["label_noise_guard"]
    page = (tmp_path / "out/data_docs/index.html").read_text()
    assert "<h2>Notes</h2>" in page
    assert "person toy:1" in page


def test_the_remedy_is_that_of_what_failed(make_manifest: Any, tmp_path: Path) -> None:
    record = EthicsRecord("none", "withdrawn", "no")
    manifest = make_manifest(SOUND, ethics=record, benchmark="dukemtmcreid")
    line = 'dukemtmcreid is withdrawn: add acknowledge_withdrawn: "<who, and why>"'
    with pytest.raises(GateError, match=re.escape(line)) as raised:
        gate(manifest, tmp_path, "ethics_record_present")
    assert 'Add the line acknowledge_withdrawn: "<who, and why>" to the data' in str(raised.value)


def test_a_camera_that_has_changed_is_a_warning(make_manifest: Any, tmp_path: Path) -> None:
    for pixel, rows in ((10, SOUND), (60, SOUND)):
        for number in range(len(rows)):
            Image.new("L", (8, 16), pixel).save(tmp_path / f"{number:03d}.jpg")
        manifest, storage = make_manifest(rows), open_storage(tmp_path)
        if pixel == 10:
            (tmp_path / "official.yaml").write_text("datasets: {}")
            write_profile(manifest, storage, tmp_path)
    report = gate(manifest, tmp_path, "camera_drift", datasets_folder=tmp_path)
    (warning,) = report.warnings
    assert warning.count == 2
    assert warning.items == tuple(
        f"camid {camera}: mean 60.0, std 0.0; on record 10.0 and 0.0" for camera in (0, 1)
    )


def test_many_failures_are_counted_and_the_first_shown(make_manifest: Any, tmp_path: Path) -> None:
    many = [{"split": "train", "pid": 1, "camid": 9, "path": f"odd{n:03d}"} for n in range(30)]
    with pytest.raises(GateError, match=r"\(odd000, odd001 and 28 more\)"):
        gate(make_manifest(SOUND + many, camera_count=2), tmp_path, "camera_in_official_range")
    outcome = read_report(tmp_path)["expectations"][0]
    assert outcome["count"] == 30
    assert outcome["items"] == [f"odd{n:03d}" for n in range(20)]
    assert outcome["pids"] == [1]


def test_official_counts_bind_a_complete_benchmark(make_manifest: Any, tmp_path: Path) -> None:
    manifest = make_manifest(SOUND, benchmark="market1501")
    with pytest.raises(GateError, match=r"official_counts \(train images: 4, officially 12936"):
        gate(manifest, tmp_path, "official_counts", official_table=OFFICIAL)
    stored = read_report(tmp_path)
    assert stored["errors"] == stored["warnings"] == ["official_counts"]


@pytest.mark.parametrize(
    ("number", "argument", "value", "found"),
    [
        (0, "column_set", ["path", "absent"], r"\(column absent\)"),
        (1, "column", "nonsense", ".*nonsense"),
    ],
)
def test_columns_that_are_not_there_fail(
    make_manifest: Any, tmp_path: Path, number: int, argument: str, value: Any, found: str
) -> None:
    entry = person_rules()[number].to_json()
    entry["kwargs"][argument] = value
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({"name": "odd", "expectations": [entry]}))
    with pytest.raises(GateError, match=f"toy: 1 expectation failed: schema {found}"):
        run_gate(make_manifest(SOUND), open_storage(tmp_path), path, True, tmp_path / "out", None)


def test_the_library_is_not_imported_before_a_gate_runs() -> None:
    code = "import sys, reid.validation; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
