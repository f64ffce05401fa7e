"""The grammar of CUHK03-NP and its two variants."""

import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.readers.cuhk03_np import (
    NAME,
    OTHER_VARIANT,
    VARIANTS,
    Variant,
    is_cuhk03_np,
    judge,
    read_cuhk03_np,
)
from reid.data.readers.reading import BAD_NAME, NOT_AN_IMAGE, OTHER_FOLDER, Reading, Row
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError

FILES = tuple(
    f"{variant}/{path}"
    for variant in VARIANTS
    for path in (
        "bounding_box_test/0003_c1_17.png",
        "bounding_box_train/0001_c1_2.png",
        "query/0003_c2_7.PNG",
    )
)


def make(root: Path, *paths: str, files: tuple[str, ...] = FILES) -> Path:
    for path in (*files, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(root: Path, variant: Variant | None = None) -> Reading:
    return read_cuhk03_np(open_storage(root), variant=variant)


@settings(max_examples=50, deadline=None)
@given(
    variant=st.sampled_from(VARIANTS),
    pid=st.integers(0, 9999),
    camera=st.integers(1, 2),
    number=st.integers(0, 99_999),
    suffix=st.sampled_from([".png", ".PNG"]),
)
def test_path_carries_every_field(
    variant: Variant, pid: int, camera: int, number: int, suffix: str
) -> None:
    row = judge(f"{variant}/query/{pid:04d}_c{camera}_{number}{suffix}")
    assert isinstance(row, Row)
    assert (row.variant, row.split, row.pid) == (variant, "query", pid)
    assert (row.camid, row.cam_raw, row.timestamp) == (camera - 1, str(camera), None)


@pytest.mark.parametrize(
    "name",
    [
        "003_c1_7.png",
        "00003_c1_7.png",
        "0003_c3_7.png",
        "0003_c12_7.png",
        "0003_C1_7.png",
        "0003_c1_.png",
        "0003_c1_7.jpg",
        "0003_c1_7.png.png",
        "0003_c1_7.png\n",
        "x0003_c1_7.png",
        "0003_c1_\u0667.png",
    ],
)
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert NAME.fullmatch(name) is None
    assert judge(f"detected/query/{name}") == BAD_NAME


def test_one_variant_is_a_benchmark_and_both_are_none(tmp_path: Path) -> None:
    make(tmp_path / "cuhk03-np")
    both = read(tmp_path)
    assert [row.path for row in both.rows] == [f"cuhk03-np/{path}" for path in FILES]
    assert (both.benchmark, both.ignored) == (None, ())
    for variant in VARIANTS:
        one = read(tmp_path, variant)
        assert one.benchmark == f"cuhk03_np_{variant}"
        assert list(one.rows) == [row for row in both.rows if row.variant == variant]
        assert {file.reason for file in one.ignored} == {OTHER_VARIANT}
        assert one.warnings == ()


def test_a_copy_of_one_variant_is_that_benchmark(tmp_path: Path) -> None:
    make(tmp_path, files=FILES[:3])
    assert read(tmp_path).benchmark == "cuhk03_np_detected"
    assert is_cuhk03_np(FILES[3:])
    with pytest.raises(DataError, match="expected labeled/bounding_box_train, labeled/query"):
        read(tmp_path, "labeled")


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    name = "0003_c2_7.png"
    make(tmp_path, f"query/{name}", f"detected/{name}", "labeled/query/odd.png", "readme.md")
    reading = read(tmp_path)
    assert {file.path: file.reason for file in reading.ignored} == {
        f"query/{name}": OTHER_FOLDER,
        f"detected/{name}": OTHER_FOLDER,
        "labeled/query/odd.png": BAD_NAME,
        "readme.md": NOT_AN_IMAGE,
    }
    assert reading.unlisted == ("labeled/query/odd.png",)


def test_wrong_options_and_missing_parts_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="variant 'labelled'; expected one of detected, labeled"):
        read(make(tmp_path / "all"), "labelled")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="expected detected/bounding_box_train"):
        read(make(tmp_path / "none", files=("a.png",)))
    make(tmp_path / "part", "labeled/query/odd.png", files=FILES[:-1])
    with pytest.raises(DataError, match=r"no image of the split query; .* labeled/query/"):
        read(tmp_path / "part")
    assert read(tmp_path / "part", "detected").benchmark == "cuhk03_np_detected"


def test_market_folders_without_a_variant_are_another_layout() -> None:
    assert is_cuhk03_np(FILES)
    assert not is_cuhk03_np([path.partition("/")[2] for path in FILES])
    assert not is_cuhk03_np([path.replace(".png", ".jpg") for path in FILES])


def test_an_archive_gives_the_same_rows(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in FILES:
            archive.writestr(f"cuhk03-np/{path}", b"")
    make(tmp_path / "root/cuhk03-np")
    assert read(tmp_path / "all.zip") == read(tmp_path / "root")
