"""Grey levels per camera: measured, written, read and compared."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reid.data.manifest import Manifest
from reid.data.storage import open_storage
from reid.errors import DataError
from reid.validation.profile import (
    SAMPLE,
    GreyLevels,
    compare_profiles,
    measure_profile,
    profile_path,
    read_profile,
    write_profile,
)


@pytest.fixture
def painted(make_manifest: Any, tmp_path: Path) -> Manifest:
    """Two cameras: one gives images of grey 10 and 30, the other one image, half black."""
    rows = [{"split": "train", "pid": 1, "camid": 0, "path": f"{grey}.png"} for grey in (10, 30)]
    rows += [{"split": "query", "pid": 2, "camid": 3, "path": "half.png"}]
    rows += [{"split": "query", "pid": 2, "camid": 3, "path": "gone.png"}]
    rows += [{"split": "train", "pid": 1, "camid": 0, "path": "bad.png", "flag": "broken"}]
    rows += [{"split": "train", "pid": 1, "camid": None, "path": "10.png", "variant": "x"}]
    for grey in (10, 30):
        Image.new("RGB", (4, 8 + grey), (grey, grey, grey)).save(tmp_path / f"{grey}.png")
    half = np.repeat(np.array([[0], [200]], np.uint8), 4, axis=1)
    Image.fromarray(half).save(tmp_path / "half.png")
    return make_manifest(rows, benchmark="market1501")


def test_every_image_of_a_camera_counts_the_same(painted: Manifest, tmp_path: Path) -> None:
    assert measure_profile(painted, open_storage(tmp_path)) == {
        0: GreyLevels(20.0, 10.0, 2),
        3: GreyLevels(100.0, 100.0, 1),
    }


def test_a_sample_is_spread_over_the_paths(make_manifest: Any, tmp_path: Path) -> None:
    for grey in range(2 * SAMPLE - 1):
        Image.new("L", (2, 2), grey).save(tmp_path / f"{grey:03d}.png")
    rows = [
        {"split": "train", "pid": 1, "camid": 0, "path": f"{grey:03d}.png"}
        for grey in range(2 * SAMPLE - 1)
    ]
    levels = measure_profile(make_manifest(rows), open_storage(tmp_path))[0]
    assert (levels.mean, levels.images) == (SAMPLE - 1, SAMPLE)


def test_a_profile_comes_back_as_written(painted: Manifest, tmp_path: Path) -> None:
    path = write_profile(painted, open_storage(tmp_path), tmp_path)
    assert path == profile_path(tmp_path, painted.meta) == tmp_path / "profiles/market1501.json"
    assert read_profile(path) == measure_profile(painted, open_storage(tmp_path))
    assert read_profile(tmp_path / "profiles/other.json") is None


def test_own_data_have_a_profile_under_their_own_name(make_manifest: Any) -> None:
    meta = make_manifest([{"split": "train", "pid": 1}]).meta
    assert profile_path(Path("p"), meta) == Path("p/profiles/toy.json")


def test_without_cameras_there_is_no_profile(make_manifest: Any, tmp_path: Path) -> None:
    manifest = make_manifest([{"split": "pretrain", "pid": None, "camid": None}])
    with pytest.raises(DataError, match="toy: no readable image of a known camera; expected"):
        write_profile(manifest, open_storage(tmp_path), tmp_path)


def test_an_image_that_no_longer_decodes_is_an_error(painted: Manifest, tmp_path: Path) -> None:
    (tmp_path / "30.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"30\.png: cannot be decoded"):
        measure_profile(painted, open_storage(tmp_path))


@pytest.mark.parametrize("text", ["{", "{}", "[]", '{"cameras": {"a": {}}}', '{"cameras": [1]}'])
def test_a_damaged_profile_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(DataError, match=r"p\.json: damaged; expected a profile of grey levels"):
        read_profile(tmp_path / "p.json")


def test_cameras_that_both_know_are_compared() -> None:
    now = {0: GreyLevels(20.0, 5.0, 9), 1: GreyLevels(20.0, 5.0, 9)}
    then = {1: GreyLevels(33.5, 4.0, 9), 2: GreyLevels(33.5, 4.0, 9)}
    table = compare_profiles(now, then)
    assert table.to_dict("records") == [
        {
            "subject": "camid 1: mean 20.0, std 5.0; on record 33.5 and 4.0",
            "mean_drift": 13.5,
            "std_drift": 1.0,
        }
    ]
    assert compare_profiles(now, {}).empty
