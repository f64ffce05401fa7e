"""Each rule against a case made by hand; the cross-camera rule also against a double loop."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.storage import open_storage
from reid.validation import checks


def broken_rows(mask: pd.Series) -> list[int]:
    """Positions of the rows that disobey; paths are made so that positions are kept."""
    assert mask.dtype == bool
    return list(np.flatnonzero(~mask))


def cell(split: str, pid: int = 1, camid: int | None = 0, **more: Any) -> dict[str, Any]:
    return {"split": split, "pid": pid, "camid": camid} | more


def test_required_cells_are_there(make_manifest: Any) -> None:
    frame = make_manifest([cell("train"), cell("train")]).frame
    assert broken_rows(checks.required_present(frame)) == []
    frame.loc[1, "mode"] = None
    assert broken_rows(checks.required_present(frame)) == [1]
    frame.at[0, "sha256"] = b"short"
    assert broken_rows(checks.sha256_length(frame)) == [0]


def test_persons_of_train_and_test_differ(make_manifest: Any) -> None:
    rows = [
        cell("train", 1),
        cell("train", 2, flag="broken"),
        cell("gallery", 1),
        cell("query", 1),
        cell("gallery", 2),
        cell("gallery", 3),
        cell("gallery", 1, flag="junk"),
    ]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.train_test_ids_disjoint(frame)) == [2, 3]


def test_equal_numbers_of_different_persons_do_not_leak(make_manifest: Any) -> None:
    rows = [cell("train", 0, pid_key="m:train:0"), cell("gallery", 0, pid_key="m:test:0")]
    assert broken_rows(checks.train_test_ids_disjoint(make_manifest(rows).frame)) == []


def test_a_query_needs_its_person_from_another_camera(make_manifest: Any) -> None:
    rows = [
        cell("query", 1, 0),
        cell("query", 2, 0),
        cell("query", 3, 0),
        cell("query", 4, 0),
        cell("query", 5, 0, flag="broken"),
        cell("gallery", 1, 1),
        cell("gallery", 2, 0),
        cell("gallery", 3, 1, flag="broken"),
        cell("gallery", 4, 1, flag="junk"),
    ]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.query_has_match(frame, True, {})) == [1, 3]
    assert broken_rows(checks.query_has_match(frame, False, {})) == [3]


images = st.tuples(
    st.sampled_from(["query", "gallery", "train"]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from(["ok", "junk", "distractor", "broken"]),
)


@settings(max_examples=50, deadline=None)
@given(
    cells=st.lists(images, min_size=1, max_size=12),
    exclude=st.booleans(),
    places=st.sampled_from([{}, {2: 1}]),
)
def test_matches_equal_a_double_loop(
    cells: list[tuple[str, int, int, str]], exclude: bool, places: dict[int, int]
) -> None:
    frame = pd.DataFrame(cells, columns=["split", "pid", "camid", "flag"])
    frame["pid_key"] = "toy:" + frame["pid"].astype(str)
    frame["camid"] = frame["camid"].astype("Int16")
    expected = []
    for split, pid, camera, flag in cells:
        found = any(
            other == pid
            and not (exclude and places.get(place, place) == places.get(camera, camera))
            for part, other, place, state in cells
            if part == "gallery" and state in ("ok", "broken")
        )
        expected.append(found or split != "query" or flag != "ok")
    assert list(checks.query_has_match(frame, exclude, places)) == expected


def test_a_pool_needs_two_images_of_a_person(make_manifest: Any) -> None:
    rows = [
        cell("test_pool", 1),
        cell("test_pool", 1, flag="broken"),
        cell("test_pool", 2),
        cell("train", 3),
        cell("test_pool", 4, flag="junk"),
    ]
    assert broken_rows(checks.pool_has_match(make_manifest(rows).frame)) == [2]


def test_a_test_set_shows_everybody_in_both_modalities(make_manifest: Any) -> None:
    infrared = {"modality": "ir", "band": "nir"}
    rows = [
        cell("query", 1, **infrared),
        cell("gallery", 1),
        cell("test_pool", 2),
        cell("test_pool", 2, **infrared),
        cell("test_pool", 3, **infrared),
        cell("test_pool", 3, flag="broken", **infrared),
        cell("gallery", 4),
        cell("query", 5, **infrared),
        cell("gallery", 0, flag="distractor"),
        cell("train", 6),
    ]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.both_modalities_per_test_id(frame)) == [4, 5, 6]


def test_a_camera_gives_the_modalities_that_are_stated(make_manifest: Any) -> None:
    infrared = {"modality": "ir", "band": "nir"}
    rows = [
        cell("train", camid=0),
        cell("train", camid=0, **infrared),
        cell("train", camid=1, **infrared),
        cell("train", camid=1),
        cell("train", camid=7),
        cell("train", camid=None, **infrared),
    ]
    frame = make_manifest(rows).frame
    gives = {(0, "rgb"), (1, "rgb"), (1, "ir")}
    assert broken_rows(checks.modality_matches_camera(frame, gives)) == [1]


def test_a_camera_gives_one_modality_if_nothing_is_stated(make_manifest: Any) -> None:
    infrared = {"modality": "ir", "band": "nir"}
    rows = [cell("train", camid=c) for c in (0, 0, 1, 1, 1, None)]
    rows += [cell("train", camid=c, **infrared) for c in (1, 2, 2, None)]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.modality_matches_camera(frame, set())) == [6]


def test_cameras_of_the_data_set(make_manifest: Any) -> None:
    rows = [cell("train", camid=c) for c in (0, 5, 6, -1, None)]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.camera_in_official_range(frame, 6)) == [2, 3]
    assert broken_rows(checks.camera_in_official_range(frame, None)) == [3]


def test_labels_are_ranks(make_manifest: Any) -> None:
    rows = [
        cell("train", 30),
        cell("train", 4),
        cell("train", 9, label=2),
        cell("train", 5, flag="broken"),
        cell("train", 6, flag="broken", label=0),
        cell("gallery", 7, label=0),
        cell("gallery", 8),
    ]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.labels_contiguous(frame)) == [2, 4, 5]
    frame["label"] = pd.array([2, 0, 1, None, None, None, None], dtype="Int32")
    assert broken_rows(checks.labels_contiguous(frame)) == []


def test_files_are_looked_up(make_manifest: Any, tmp_path: Path) -> None:
    (tmp_path / "a#here.jpg").touch()
    (tmp_path / "db").touch()
    rows = [
        cell("train", path="a#here.jpg"),
        cell("train", path="gone.jpg"),
        cell("train", path="lmdb://db#key"),
        cell("train", path="lmdb://gone#key"),
        cell("train", path="lmdb://gone#other"),
    ]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.listed_file_exists(frame, open_storage(tmp_path))) == [1, 3, 4]


def test_modality_and_band(make_manifest: Any) -> None:
    rows = [
        cell("train"),
        cell("train", modality="ir", band="nir"),
        cell("train", modality="ir", band="visible"),
        cell("train", modality="rgb", band="thermal"),
    ]
    assert broken_rows(checks.modality_matches_band(make_manifest(rows).frame)) == [2, 3]


def test_time_along_a_track(make_manifest: Any) -> None:
    rows = [
        cell("train", track_id="a", frame=2, timestamp=2.0),
        cell("train", track_id="a", frame=1, timestamp=1.0),
        cell("train", track_id="a", frame=3, timestamp=1.5),
        cell("train", track_id="b", frame=1, timestamp=0.5),
        cell("train", frame=9, timestamp=0.0),
        cell("train", track_id="b", frame=2),
        cell("train", track_id="b", frame=1, session="2", timestamp=0.1),
    ]
    assert broken_rows(checks.track_time_ordered(make_manifest(rows).frame)) == [2]


def test_junk_and_distractors_belong_to_the_gallery(make_manifest: Any) -> None:
    rows = [
        cell("gallery", -1, flag="junk"),
        cell("query", -1, flag="junk"),
        cell("train", 0, flag="distractor"),
        cell("gallery", 0, flag="distractor"),
    ]
    frame = make_manifest(rows).frame
    assert broken_rows(checks.junk_distractor_only_in_gallery(frame)) == [1, 2]


def test_measures_are_missing_for_broken_images(make_manifest: Any) -> None:
    rows = [cell("train"), cell("train", flag="broken", width=0, height=0)]
    frame = make_manifest(rows).frame
    assert checks.shorter_side(frame).iloc[0] == 64
    assert checks.aspect(frame).iloc[0] == 2
    assert checks.shorter_side(frame).isna().tolist() == [False, True]
    assert checks.aspect(frame).isna().tolist() == [False, True]
