"""Every archive of a dataset pack is read, and gated, as its `expected.json` says."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reid.data.indexing import build_manifest
from reid.data.manifest import Manifest
from reid.data.readers import READERS, Reading, options_of, read_layout, recognise
from reid.data.storage import Storage, open_storage
from reid.data.storage.compressed import decompress
from reid.errors import GateError
from reid.validation import run_gate

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
SUITES = Path(__file__).parents[2] / "params/validation"
EXTRA_SPLIT = "gallery_500k"
TEXT_COLUMNS = ("cam_raw", "session", "scene", "video")
COLUMNS = {"scene": "session", "video": "session"}


@dataclass(frozen=True)
class Case:
    """One archive of one pack."""

    folder: Path
    name: str

    @property
    def expected(self) -> dict[str, Any]:
        return read_pack(self.folder)[self.name]

    @property
    def files(self) -> list[dict[str, Any]]:
        return self.expected["files"]

    @property
    def used(self) -> dict[str, dict[str, Any]]:
        return {row["path"]: row for row in self.files if row["status"] == "use"}


@cache
def read_pack(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text()).get("datasets", {})


def find_cases() -> list[Case]:
    folders = sorted(path.parent for path in ROOT.rglob("expected.json"))
    return [Case(folder, name) for folder in folders for name in read_pack(folder)]


CASES = find_cases()
SOUND = [case for case in CASES if not case.expected.get("faults")]
FAULTY = [case for case in CASES if case.expected.get("faults")]


def identify(case: Case) -> str:
    return f"{case.folder.name}-{case.name}"


def cases_with(wanted: Callable[[Case], Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", [c for c in SOUND if wanted(c)], ids=identify)


sound = pytest.mark.parametrize("case", SOUND, ids=identify)
faulty = pytest.mark.parametrize("case", FAULTY, ids=identify)
listed = cases_with(lambda case: case.used)


@pytest.fixture(scope="module")
def unpack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    @cache
    def unpacked(case: Case) -> Storage:
        root = tmp_path_factory.mktemp(case.name)
        with tarfile.open(case.folder / case.expected["archive"]) as archive:
            # Python before 3.11.4 knows no filters
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(root)  # noqa: S202 - the packs are ours
        return open_storage(root)

    return unpacked


def uses_extra(case: Case) -> bool:
    return any(row.get("split") == EXTRA_SPLIT for row in case.files)


def options_for(case: Case, layout: str) -> dict[str, Any]:
    """Options under which a reader tells what the pack lists: extra parts on, splits unmerged."""
    splits = {str(row.get("split")) for row in case.files}
    options: dict[str, Any] = {"use_500k": uses_extra(case), "use_val": "val" not in splits}
    sizes = [int(size) for split in splits if (size := split.removeprefix("test_")).isdecimal()]
    if sizes:  # the larger lists hold the smaller ones
        options["test_list"] = max(sizes)
    return {name: value for name, value in options.items() if name in options_of(layout)}


def read_all(case: Case, storage: Storage) -> Reading:
    layout = recognise(storage)
    return read_layout(layout, storage, options_for(case, layout))


def build(case: Case, storage: Storage, **options: Any) -> Manifest:
    """Index the files under the name of their layout."""
    layout = recognise(storage)
    reading = read_layout(layout, storage, options or options_for(case, layout))
    with TemporaryDirectory() as folder:
        target = Path(folder) / "manifest.parquet"
        build_manifest(reading, storage, layout, target, Path(folder) / "facts.sqlite")
        return Manifest.load(target)


def our_split(split: str) -> str:
    """Translate the pack's word for a split into the manifest's."""
    if split == EXTRA_SPLIT:
        return "gallery"
    return "test_pool" if split.startswith("test") else split


def cell_as_listed(frame: pd.DataFrame, path: str, column: str) -> Any:
    value = frame.loc[path, COLUMNS.get(column, column)]
    return None if pd.isna(value) else value


def test_the_packs_hold_sound_and_broken_archives() -> None:
    assert SOUND
    assert FAULTY


@listed
def test_rows_are_read_as_listed(case: Case, unpack: Any) -> None:
    frame = build(case, unpack(case)).frame.set_index("path")
    assert set(frame.index) == set(case.used)
    for path, row in case.used.items():
        for column in row.keys() - {"path", "status", "lmdb_key"}:
            expected = row[column]
            if column in TEXT_COLUMNS and expected is not None:
                expected = str(expected)
            if column == "split":
                expected = our_split(expected)
            assert cell_as_listed(frame, path, column) == expected, (path, column)


@cases_with(lambda case: case.files)
def test_other_files_are_ignored_for_the_listed_reason(case: Case, unpack: Any) -> None:
    ignored = {file.path: file.reason for file in read_all(case, unpack(case)).ignored}
    assert ignored == {
        row["path"]: row["reason"] for row in case.files if row["status"] == "ignore"
    }


@cases_with(uses_extra)
def test_the_optional_part_stays_out_unless_asked_for(case: Case, unpack: Any) -> None:
    storage = unpack(case)
    reading = read_layout(recognise(storage), storage)
    extra = {row["path"] for row in case.files if row.get("split") == EXTRA_SPLIT}
    assert extra <= {file.path for file in reading.ignored}
    assert extra.isdisjoint(row.path for row in reading.rows)


@cases_with(lambda case: any(row.get("split") == "val" for row in case.files))
def test_validation_images_are_trained_on_by_default(case: Case, unpack: Any) -> None:
    storage = unpack(case)
    splits = {row.path: row.split for row in read_layout(recognise(storage), storage).rows}
    for path, row in case.used.items():
        assert splits[path] == ("train" if row["split"] == "val" else row["split"])


@listed
def test_summaries_agree(case: Case, unpack: Any) -> None:
    frame = build(case, unpack(case)).frame
    split_of = {path: row["split"] for path, row in case.used.items()}
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


@listed
def test_labels_rank_the_persons_to_train_on(case: Case, unpack: Any) -> None:
    train = build(case, unpack(case)).train
    labels = {str(pid): label for pid, label in zip(train["pid"], train["label"], strict=True)}
    assert labels == case.expected["train_label"]


@sound
def test_the_archive_in_place_reads_like_the_folder(
    case: Case, unpack: Any, tmp_path: Path
) -> None:
    plain = tmp_path / "archive.tar"
    decompress(case.folder / case.expected["archive"], plain, lambda _done, _total: None)
    packed, folder = open_storage(plain), unpack(case)
    assert packed.files() == folder.files()
    expected = list(read_all(case, folder).rows)
    assert list(read_all(case, packed).rows) == expected
    for row in expected:
        assert packed.read(row.path) == folder.read(row.path)


@cases_with(lambda case: any("lmdb_key" in row for row in case.files))
def test_the_database_holds_the_images_of_the_tree(case: Case, unpack: Any, tmp_path: Path) -> None:
    storage = unpack(case)
    database = next(path for path in storage.files() if path.endswith("/data.mdb"))
    home = database.rpartition("/")[0]
    keys = {row["lmdb_key"]: path for path, row in case.used.items()}
    shutil.copytree(storage.root / home.split("/")[0], tmp_path / home.split("/")[0])
    alone = open_storage(tmp_path)
    reading = read_layout(recognise(alone), alone)
    found = {row.path.partition("#")[2]: row for row in reading.rows}
    assert set(found) == set(keys)
    for key, path in keys.items():
        assert alone.read(found[key].path) == storage.read(path)
        listed_pid = case.used[path]["pid"]
        assert (found[key].pid, found[key].noisy_label) == (listed_pid, listed_pid is not None)


@cases_with(lambda case: case.expected.get("trials"))
def test_each_trial_trains_and_tests_on_the_listed_images(case: Case, unpack: Any) -> None:
    for trial, roles in case.expected["trials"].items():
        manifest = build(case, unpack(case), trial=int(trial))
        frame = manifest.frame.set_index(manifest.frame["path"].map(below_first))
        for role, images in roles.items():
            split = "train" if role.startswith("train") else "test_pool"
            modality = "rgb" if role.endswith("visible") else "ir"
            chosen = frame[(frame["split"] == split) & (frame["modality"] == modality)]
            assert set(chosen.index) == {image["path"] for image in images}, (trial, role)
            for image in images:
                row = frame.loc[image["path"]]
                assert (row["pid"], row["camid"]) == (image["pid"], image["camid"])
                assert dict(row["trial_roles"])[trial] == ("train" if split == "train" else "test")
                assert split == "test_pool" or row["label"] == image["idx_label"]


@cases_with(lambda case: case.expected.get("extracted"))
def test_pixels_of_the_classic_file_are_as_listed(case: Case, unpack: Any) -> None:
    storage = unpack(case)
    for variant, images in case.expected["extracted"].items():
        reading = read_layout("cuhk03_classic", storage, {"variant": variant})
        rows = {row.path.rpartition("/")[2]: row for row in reading.rows}
        assert set(rows) == {image["name"] for image in images}
        for image in images:
            row = rows[image["name"]]
            with Image.open(io.BytesIO(storage.read(row.path))) as picture:
                pixels = np.asarray(picture)
            digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
            assert (digest, row.camid) == (image["sha256_of_hwc_uint8"], image["camid"])


@cases_with(lambda case: case.expected.get("classic_testsets"))
def test_classic_splits_test_on_the_listed_persons(case: Case, unpack: Any) -> None:
    people = {
        image["name"]: [image["pair"], image["person"]]
        for images in case.expected["extracted"].values()
        for image in images
    }
    reading = read_layout("cuhk03_classic", unpack(case))
    for trial, tested in enumerate(case.expected["classic_testsets"], start=1):
        for row in reading.rows:
            role = dict(row.trial_roles or {})[str(trial)]
            person = people[row.path.rpartition("/")[2]]
            assert role == ("test" if person in tested else "train"), (trial, row.path)


def new_protocols(case: Case) -> list[str]:
    return [key for key in case.expected if key.startswith("new_protocol_")]


@cases_with(new_protocols)
def test_the_new_protocol_is_as_listed(case: Case, unpack: Any) -> None:
    for key in new_protocols(case):
        options = {"variant": key.removeprefix("new_protocol_"), "protocol": "new"}
        rows = read_layout("cuhk03_classic", unpack(case), options).rows
        found: dict[str, set[str]] = {}
        for row in rows:
            name = row.path.rpartition("/")[2]
            found.setdefault(row.split, set()).add(name)
            if row.split != "ignored":
                assert row.pid == case.expected[key]["pid"][name]
        for split in ("train", "query", "gallery"):
            assert found[split] == set(case.expected[key][split]), split


def below_first(path: str) -> str:
    return path.partition("/")[2]


@faulty
def test_the_gate_finds_exactly_the_listed_faults(case: Case, unpack: Any, tmp_path: Path) -> None:
    storage = unpack(case)
    suite = SUITES / f"{READERS[recognise(storage)].suite}.json"
    with pytest.raises(GateError) as raised:
        run_gate(build(case, storage), storage, suite, True, tmp_path, None)
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
