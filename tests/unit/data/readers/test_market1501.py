"""The grammar of Market-1501, what is ignored, and how time is laid end to end."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.data.readers import READERS, read_layout
from reid.data.readers.market1501 import NAME, parse_row, read_market1501
from reid.data.readers.reading import BAD_NAME, NOT_AN_IMAGE, OTHER_FOLDER, SIDECAR
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError

SMALLEST = (
    "bounding_box_train/0002_c1s1_000100_01.jpg",
    "query/0003_c1s1_000200_00.jpg",
    "bounding_box_test/0003_c2s1_000300_01.jpg",
)


def make(root: Path, *paths: str) -> Path:
    for path in (*SMALLEST, *paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def reasons(root: Path, **options: bool) -> dict[str, str]:
    return {
        file.path: file.reason for file in read_market1501(open_storage(root), **options).ignored
    }


@given(
    pid=st.integers(-1, 9999),
    camera=st.integers(0, 9),
    sequence=st.integers(0, 9),
    frame=st.integers(0, 999_999),
    box=st.integers(0, 99),
    suffix=st.sampled_from([".jpg", ".JPG", ".jpg.jpg", ".Jpg.JPG"]),
)
def test_name_carries_every_number(
    pid: int, camera: int, sequence: int, frame: int, box: int, suffix: str
) -> None:
    number = "-1" if pid == -1 else f"{pid:04d}"
    row = parse_row(f"query/{number}_c{camera}s{sequence}_{frame:06d}_{box:02d}{suffix}")
    assert (row.pid, row.camid, row.cam_raw) == (pid, camera - 1, str(camera))
    assert (row.session, row.frame, row.split) == (str(sequence), frame, "query")
    assert row.flag == {-1: "junk", 0: "distractor"}.get(pid, "ok")


@pytest.mark.parametrize(
    "name",
    [
        "0002_c1s1_000100_01.jpg.bak",
        "x0002_c1s1_000100_01.jpg",
        "0002_C1s1_000100_01.jpg",
        "0002_c12s1_000100_01.jpg",
        "002_c1s1_000100_01.jpg",
        "-2_c1s1_000100_01.jpg",
        "0002_c1s1_000100_01.jpeg",
        "0002_c1s1_000100_01.jpg\n",
        "٠٠٠٢_c1s1_000100_01.jpg",
    ],
)
def test_name_is_matched_as_a_whole(name: str) -> None:
    assert NAME.fullmatch(name) is None
    with pytest.raises(DataError, match="not a Market-1501 name"):
        parse_row(f"query/{name}")


def test_parent_folders_are_not_parsed(tmp_path: Path) -> None:
    root = make(tmp_path / "0009_c9s9_run_12_c3")
    assert {row.camid for row in read_market1501(open_storage(root)).rows} == {0, 1}


@pytest.mark.parametrize("home", ["", "Market-1501-v15.09.15"])
def test_root_is_the_folder_or_the_one_above(tmp_path: Path, home: str) -> None:
    make(tmp_path / home)
    paths = [row.path for row in read_market1501(open_storage(tmp_path)).rows]
    assert paths == sorted(str(Path(home) / path) for path in SMALLEST)


def test_other_files_are_ignored_with_a_reason(tmp_path: Path) -> None:
    make(
        tmp_path / "home",
        "bounding_box_test/notes.jpg",
        "bounding_box_test/notes.TXT",
        "bounding_box_test/deep/0003_c2s1_000300_01.jpg",
        "gt_bbox/0003_c2s1_000300_01.jpg",
        "__MACOSX/query/0003_c1s1_000200_00.jpg",
        "query/._0003_c1s1_000200_00.jpg",
        "loose.jpg",
    )
    (tmp_path / "readme.txt").touch()
    (tmp_path / "query").mkdir()
    (tmp_path / "query/0003_c1s1_000200_00.jpg").touch()
    assert reasons(tmp_path) == {
        "home/bounding_box_test/notes.jpg": BAD_NAME,
        "home/bounding_box_test/notes.TXT": NOT_AN_IMAGE,
        "home/bounding_box_test/deep/0003_c2s1_000300_01.jpg": OTHER_FOLDER,
        "home/gt_bbox/0003_c2s1_000300_01.jpg": OTHER_FOLDER,
        "home/__MACOSX/query/0003_c1s1_000200_00.jpg": SIDECAR,
        "home/query/._0003_c1s1_000200_00.jpg": SIDECAR,
        "home/loose.jpg": OTHER_FOLDER,
        "readme.txt": NOT_AN_IMAGE,
        "query/0003_c1s1_000200_00.jpg": OTHER_FOLDER,
    }
    reading = read_market1501(open_storage(tmp_path))
    assert reading.unlisted == ("home/bounding_box_test/notes.jpg",)
    assert reading.warnings == (f"home/bounding_box_test/notes.jpg: ignored, {BAD_NAME}",)


def test_distractors_join_the_gallery_on_request(tmp_path: Path) -> None:
    extra = "images/0000_c1s1_900000_01.jpg"
    make(tmp_path, extra)
    assert reasons(tmp_path) == {extra: "the 500k option is off"}
    reading = read_market1501(open_storage(tmp_path), use_500k=True)
    assert reading.benchmark == "market1501_500k"
    row = next(row for row in reading.rows if row.path == extra)
    assert (row.split, row.flag) == ("gallery", "distractor")
    without = {row.path: row.timestamp for row in read_market1501(open_storage(tmp_path)).rows}
    assert without.items() <= {row.path: row.timestamp for row in reading.rows}.items()


@pytest.mark.parametrize("folder", ["query", "bounding_box_test", "bounding_box_train"])
def test_an_empty_folder_is_an_error_of_one_line(tmp_path: Path, folder: str) -> None:
    make(tmp_path)
    for path in (tmp_path / folder).iterdir():
        path.unlink()
    with pytest.raises(
        DataError, match=f"no {folder}, here or up to 2 levels down; expected bound"
    ) as raised:
        read_market1501(open_storage(tmp_path))
    assert "\n" not in str(raised.value)


def test_a_split_without_a_known_name_is_an_error(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / SMALLEST[1]).rename(tmp_path / "query/odd.jpg")
    with pytest.raises(DataError, match="no image of the split query; expected names such as"):
        read_market1501(open_storage(tmp_path))


def test_a_missing_or_foreign_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="no bounding_box_train, query, bounding_box_test, here or up to 2 levels"
    ):
        read_market1501(open_storage(tmp_path))
    with pytest.raises(DataError, match=r"nowhere: cannot be read \(No such file"):
        read_market1501(open_storage(tmp_path / "nowhere"))
    make(tmp_path / "one")
    make(tmp_path / "two")
    with pytest.raises(DataError, match=r"2 data sets \(one/, two/\); expected one"):
        read_market1501(open_storage(tmp_path))


def times(root: Path, mode: str) -> dict[str, float | None]:
    rows = read_layout("market1501", open_storage(root), {"time_mode": mode}).rows
    return {row.path.split("/")[-1]: row.timestamp for row in rows if row.camid == 5}


def test_sequences_are_laid_end_to_end(tmp_path: Path) -> None:
    make(
        tmp_path,
        "bounding_box_train/0002_c6s1_000025_01.jpg",
        "query/0003_c6s1_000100_00.jpg",
        "bounding_box_test/0003_c6s2_000050_01.jpg",
        "bounding_box_test/-1_c6s2_000075_01.jpg",
        "bounding_box_test/0003_c6s4_000025_01.jpg",
        "bounding_box_test/0003_c6s5_000025_02.jpg",
    )
    # lengths: 100, 75 (with the junk), none, 25 frames
    assert times(tmp_path, "recorded") == {
        "0002_c6s1_000025_01.jpg": 1,
        "0003_c6s1_000100_00.jpg": 4,
        "0003_c6s2_000050_01.jpg": 6,
        "-1_c6s2_000075_01.jpg": 7,
        "0003_c6s4_000025_01.jpg": 8,
        "0003_c6s5_000025_02.jpg": 9,
    }
    # lengths without junk: 100, 50, none, 25; offsets 0, 100, 100+(50+100), the same, 250+(25+250)
    assert times(tmp_path, "qaconv") == {
        "0002_c6s1_000025_01.jpg": 1,
        "0003_c6s1_000100_00.jpg": 4,
        "0003_c6s2_000050_01.jpg": 6,
        "-1_c6s2_000075_01.jpg": 7,
        "0003_c6s4_000025_01.jpg": 11,
        "0003_c6s5_000025_02.jpg": 22,
    }


def test_unknown_names_are_errors_that_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="layout 'market1510' \\(did you mean 'market1501'"):
        read_layout("market1510", open_storage(tmp_path))
    with pytest.raises(ParamsError, match="no option 'use_50k' \\(did you mean 'use_500k'"):
        read_layout("market1501", open_storage(tmp_path), {"use_50k": True})
    with pytest.raises(ParamsError, match="time_mode 'real'; expected one of recorded, qaconv"):
        read_layout("market1501", open_storage(make(tmp_path)), {"time_mode": "real"})
    assert set(READERS) >= {"market1501", "synthetic"}
