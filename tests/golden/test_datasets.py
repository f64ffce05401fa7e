"""Every archive of a dataset pack is read, and gated, as its `expected.json` says."""

import json
import os
import tarfile
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from reid.data.indexing import build_manifest
from reid.data.manifest import Manifest
from reid.data.readers import READERS, Reading, read_layout
from reid.errors import GateError
from reid.validation import run_gate

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
SUITE = Path(__file__).parents[2] / "params/validation/person.json"
BROKEN = "broken_"
EXTRA_SPLIT = "gallery_500k"
TEXT_COLUMNS = ("cam_raw", "session")


@dataclass(frozen=True)
class Case:
    """One archive of one pack."""

    folder: Path
    name: str

    @property
    def layout(self) -> str:
        return self.expected["dataset"].removeprefix(BROKEN)

    @property
    def expected(self) -> dict[str, Any]:
        return read_pack(self.folder)[self.name]

    @property
    def files(self) -> list[dict[str, Any]]:
        return self.expected["files"]


@cache
def read_pack(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text()).get("datasets", {})


def find_cases() -> list[Case]:
    folders = sorted(path.parent for path in ROOT.rglob("expected.json"))
    cases = [Case(folder, name) for folder in folders for name in read_pack(folder)]
    return [case for case in cases if case.layout in READERS]


CASES = find_cases()
SOUND = [case for case in CASES if not case.expected.get("faults")]
FAULTY = [case for case in CASES if case.expected.get("faults")]


def identify(case: Case) -> str:
    return f"{case.folder.name}-{case.name}"


sound = pytest.mark.parametrize("case", SOUND, ids=identify)
faulty = pytest.mark.parametrize("case", FAULTY, ids=identify)


@pytest.fixture(scope="module")
def unpack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def unpacked(case: Case) -> Path:
        root = tmp_path_factory.mktemp(case.name)
        with tarfile.open(case.folder / case.expected["archive"]) as archive:
            archive.extractall(root, filter="data")
        return root

    return unpacked


def uses_extra(case: Case) -> bool:
    return any(row.get("split") == EXTRA_SPLIT for row in case.files)


def read_all(case: Case, root: Path) -> Reading:
    """Read a folder with the optional part, if the pack says that there is one."""
    return read_layout(case.layout, root, {"use_500k": True} if uses_extra(case) else {})


def build(case: Case, root: Path) -> Manifest:
    return build_manifest(read_all(case, root), root, case.layout)


def test_the_packs_hold_sound_and_broken_archives() -> None:
    assert SOUND
    assert FAULTY


@sound
def test_rows_are_read_as_listed(case: Case, unpack: Any) -> None:
    frame = build(case, unpack(case)).frame.set_index("path")
    used = {row["path"]: row for row in case.files if row["status"] == "use"}
    assert set(frame.index) == set(used)
    for path, row in used.items():
        for column in row.keys() - {"path", "status"}:
            expected = row[column]
            if column in TEXT_COLUMNS:
                expected = str(expected)
            if expected == EXTRA_SPLIT:
                expected = "gallery"
            assert frame.loc[path, column] == expected, (path, column)


@sound
def test_other_files_are_ignored_for_the_listed_reason(case: Case, unpack: Any) -> None:
    ignored = {file.path: file.reason for file in read_all(case, unpack(case)).ignored}
    listed = {row["path"]: row["reason"] for row in case.files if row["status"] == "ignore"}
    assert ignored == listed


@pytest.mark.parametrize("case", [case for case in SOUND if uses_extra(case)], ids=identify)
def test_the_optional_part_stays_out_unless_asked_for(case: Case, unpack: Any) -> None:
    reading = read_layout(case.layout, unpack(case))
    extra = {row["path"] for row in case.files if row.get("split") == EXTRA_SPLIT}
    assert extra <= {file.path for file in reading.ignored}
    assert extra.isdisjoint(row.path for row in reading.rows)


@sound
def test_summaries_agree(case: Case, unpack: Any) -> None:
    frame = build(case, unpack(case)).frame
    split_of = {row["path"]: row["split"] for row in case.files if row["status"] == "use"}
    for split, expected in case.expected["summary"].items():
        rows = frame[frame["path"].map(split_of) == split]
        assert summarise(rows) == expected, split


def summarise(rows: pd.DataFrame) -> dict[str, Any]:
    scored = rows[rows["flag"] != "junk"]
    return {
        "n_images": len(scored),
        "n_junk": len(rows) - len(scored),
        "n_distractor": int((rows["flag"] == "distractor").sum()),
        "by_modality": dict(Counter(scored["modality"])),
        "n_ids": scored.loc[scored["flag"] == "ok", "pid"].nunique(),
        "n_cams": scored["camid"].nunique(),
    }


@sound
def test_labels_rank_the_persons_to_train_on(case: Case, unpack: Any) -> None:
    train = build(case, unpack(case)).train
    labels = {str(pid): label for pid, label in zip(train["pid"], train["label"], strict=True)}
    assert labels == case.expected["train_label"]


@faulty
def test_the_gate_finds_exactly_the_listed_faults(case: Case, unpack: Any, tmp_path: Path) -> None:
    root = unpack(case)
    with pytest.raises(GateError) as raised:
        run_gate(build(case, root), root, SUITE, True, tmp_path, None)
    report = json.loads((tmp_path / "report.json").read_text())
    failed = {
        outcome["name"]: outcome
        for outcome in report["expectations"]
        if outcome["severity"] == "error" and not outcome["success"]
    }
    faults = case.expected["faults"]
    assert set(failed) == {fault["expectation"] for fault in faults}
    for name, outcome in failed.items():
        mine = [fault for fault in faults if fault["expectation"] == name]
        paths = {path for fault in mine for path in fault.get("paths", [fault.get("path")])}
        pids = {pid for fault in mine for pid in fault.get("pids", [])}
        assert {below_home(item, paths) for item in outcome["items"]} == paths, name
        assert outcome["count"] == len(paths), name
        assert not pids or set(outcome["pids"]) == pids, name
    assert str(tmp_path / "report.json") in str(raised.value)


def below_home(item: str, paths: set[str]) -> str:
    """Strip the folder that the archive wraps around the dataset."""
    return next((path for path in paths if item.endswith(f"/{path}")), item)
