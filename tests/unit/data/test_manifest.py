"""The manifest keeps its schema, its bytes, and what models ask of it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reid.data.manifest import SCHEMA, EthicsRecord, Manifest, ManifestMeta, count_splits
from reid.errors import DataError

META = ManifestMeta(
    dataset="toy",
    layout="market1501",
    parser_version=1,
    root_fingerprint="f",
    counts={"train": {"images": 3}},
    benchmark=None,
    camera_count=6,
    ethics=EthicsRecord("own", "open", "yes"),
    tool_version="0",
    unlisted=("query/odd.jpg",),
    generator={"seed": 3},
)


def row(path: str, split: str, pid: int | None, camera: int | None, **more: Any) -> dict[str, Any]:
    return {
        "dataset": "toy",
        "variant": "",
        "path": path,
        "alias_paths": [],
        "split": split,
        "trial_roles": None,
        "flag": "ok",
        "pid": pid,
        "pid_key": None if pid is None else f"toy:{pid}",
        "label": None,
        "noisy_label": False,
        "camid": camera,
        "cam_raw": None,
        "viewid": -1,
        "modality": "rgb",
        "band": "visible",
        "object": "person",
        "session": None,
        "frame": None,
        "timestamp": None,
        "track_id": None,
        "occluded": None,
        "occ_fraction": None,
        "width": 64,
        "height": 128,
        "mode": "RGB",
        "bytes": 9,
        "sha256": bytes(32),
        "phash64": 2**64 - 1,
        "attrs": None,
    } | more


ROWS = [
    row("train/b", "train", 7, 4, label=1, viewid=2, timestamp=0.1, frame=2**40),
    row("train/a", "train", 2, 1, label=0, viewid=0, occluded=True, occ_fraction=0.25),
    row("train/c", "train", 7, 9, flag="broken", phash64=None, alias_paths=["x", "y"]),
    row("gallery/a", "gallery", -1, 4, flag="junk"),
    row("gallery/b", "gallery", 0, 2, flag="distractor", trial_roles=[("1", "query")]),
    row("pretrain/ä", "pretrain", None, None, noisy_label=True, attrs='{"bag": "none"}'),
]


def build(rows: list[dict[str, Any]] = ROWS, meta: ManifestMeta = META) -> Manifest:
    return Manifest.from_columns({name: [r[name] for r in rows] for name in SCHEMA.names}, meta)


def test_a_saved_manifest_comes_back(tmp_path: Path) -> None:
    manifest = build()
    manifest.save(tmp_path / "deep/m.parquet")
    loaded = Manifest.load(tmp_path / "deep/m.parquet")
    pd.testing.assert_frame_equal(loaded.frame, manifest.frame)
    assert loaded.meta == manifest.meta
    assert loaded.digest == manifest.digest
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["m.parquet"]


def test_rows_are_sorted_by_path_and_types_kept() -> None:
    frame = build().frame
    assert list(frame["path"]) == sorted(r["path"] for r in ROWS)
    dtypes = frame.dtypes.astype(str)
    assert (dtypes["pid"], dtypes["label"], dtypes["camid"]) == ("Int64", "Int32", "Int16")
    assert (dtypes["occluded"], dtypes["phash64"]) == ("boolean", "UInt64")
    by_path = frame.set_index("path")
    assert by_path.loc["train/b", "frame"] == 2**40
    assert by_path.loc["train/b", "phash64"] == 2**64 - 1
    assert by_path.loc["train/c", "phash64"] is pd.NA
    assert by_path.loc["train/c", "alias_paths"] == ["x", "y"]
    assert by_path.loc["gallery/b", "trial_roles"] == [("1", "query")]


def test_equal_rows_in_any_order_give_equal_bytes(tmp_path: Path) -> None:
    build().save(tmp_path / "a")
    build(ROWS[::-1]).save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert str(tmp_path).encode() not in (tmp_path / "a").read_bytes()


def test_the_file_has_the_canonical_schema_and_is_zstd(tmp_path: Path) -> None:
    build().save(tmp_path / "m")
    assert pq.read_schema(tmp_path / "m").remove_metadata().equals(SCHEMA)
    assert pq.read_metadata(tmp_path / "m").row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("pid", 3),
        ("sha256", bytes(31) + b"1"),
        ("alias_paths", ["z"]),
        ("trial_roles", [("1", "gallery")]),
        ("attrs", ""),
        ("label", 5),
    ],
)
def test_the_digest_changes_with_any_cell(column: str, value: Any) -> None:
    changed = [ROWS[0] | {column: value}, *ROWS[1:]]
    assert build(changed).digest != build().digest


def test_the_digest_is_that_of_the_rows_alone() -> None:
    other = dataclasses.replace(META, tool_version="1", ethics=None)
    assert build(meta=other).digest == build().digest


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build().save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()

    def fail(table: pa.Table, where: Path, **options: Any) -> None:
        where.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        build(ROWS[:2]).save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_unreadable_files_are_errors_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none: no such file; expected a manifest\. Build"):
        Manifest.load(tmp_path / "none")
    (tmp_path / "text").write_text("no parquet")
    with pytest.raises(DataError, match=r"text: unreadable \(.*\); expected a manifest") as raised:
        Manifest.load(tmp_path / "text")
    assert "\n" not in str(raised.value)


def test_a_foreign_schema_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "m"
    pq.write_table(pa.table({"path": ["a"]}), path)
    with pytest.raises(DataError, match="manifest schema none; expected manifest schema 1"):
        Manifest.load(path)
    build().save(path)
    pq.write_table(pq.read_table(path).drop_columns(["pid", "mode"]), path)
    with pytest.raises(DataError, match=r"columns differ \(mode, pid\)"):
        Manifest.load(path)
    build(meta=dataclasses.replace(META, schema_version=99)).save(path)
    with pytest.raises(DataError, match="manifest schema 99; expected manifest schema 1"):
        Manifest.load(path)


def test_training_facts_leave_broken_images_out() -> None:
    manifest = build()
    assert list(manifest.train["path"]) == ["train/a", "train/b"]
    assert manifest.num_classes == 2
    assert manifest.train_cameras == (1, 4)
    assert manifest.num_cameras == 2
    assert manifest.num_views == 2
    assert build(ROWS[3:]).num_views == 1


def test_cameras_are_ranked_among_those_of_training() -> None:
    manifest = build()
    labels = dict(zip(manifest.frame["path"], manifest.camera_labels(manifest.frame), strict=True))
    assert labels == {
        "gallery/a": 1,
        "gallery/b": -1,
        "pretrain/ä": -1,
        "train/a": 0,
        "train/b": 1,
        "train/c": -1,
    }
    assert manifest.camera_labels(manifest.train).dtype == np.int64


def test_rows_of_a_split() -> None:
    assert list(build().rows("gallery")["path"]) == ["gallery/a", "gallery/b"]
    assert build().rows("query").empty
    with pytest.raises(DataError, match="toy: split 'test'; expected one of train, val, query"):
        build().rows("test")


def test_counts_leave_junk_out_and_distractors_in() -> None:
    counts = count_splits(build().frame)
    expected = {"images": 1, "ids": 0, "cams": 1, "junk": 1, "distractors": 1, "broken": 0}
    assert counts["gallery"] == expected
    assert counts["train"] == {
        "images": 3,
        "ids": 2,
        "cams": 3,
        "junk": 0,
        "distractors": 0,
        "broken": 1,
    }
    assert list(counts) == ["gallery", "pretrain", "train"]
