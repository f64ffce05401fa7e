"""The cells of cuhk-03.mat: orientation, names, empty cells, and damage."""

import io
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from reid.data.storage import Storage, open_storage
from reid.data.storage.hdf5 import CuhkCells
from reid.errors import DataError

NAME = "release/cuhk-03.mat"


def picture(code: int) -> np.ndarray:
    """A picture of 5 rows and 3 columns whose pixels are all different."""
    return (np.arange(5 * 3 * 3).reshape(5, 3, 3) + code).astype(np.uint8)


def write(path: Path, cells: dict[tuple[str, int, int, int], int]) -> None:
    """Write two pairs of cameras; `cells` has (variant, pair, person, index)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        kept = iter(range(1000))

        def keep(data: object) -> h5py.Reference:
            return file.create_dataset(f"#refs#/{next(kept)}", data=data).ref

        def table(variant: str, pair: int, persons: int) -> h5py.Reference:
            rows = np.empty((10, persons), h5py.ref_dtype)
            for index in range(1, 11):
                for person in range(1, persons + 1):
                    code = cells.get((variant, pair, person, index))
                    empty = np.zeros(2, np.uint64)
                    rows[index - 1, person - 1] = keep(empty if code is None else picture(code).T)
            return keep(rows)

        for variant in ("detected", "labeled"):
            tables = [[table(variant, 1, 2), table(variant, 2, 1)]]
            file.create_dataset(variant, data=np.array(tables, h5py.ref_dtype))
        sets = [[keep(np.array([[1, 2], [1, 1]]).T), keep(np.array([[2, 1]]).T)]]
        file.create_dataset("testsets", data=np.array(sets, h5py.ref_dtype))


CELLS = {
    ("labeled", 1, 1, 1): 10,
    ("labeled", 1, 2, 10): 20,
    ("labeled", 2, 1, 6): 30,
    ("detected", 2, 1, 5): 40,
}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    write(tmp_path / NAME, CELLS)
    return open_storage(tmp_path)


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_members_are_named_by_pair_person_view_and_index(storage: Storage) -> None:
    assert list(storage.container("hdf5", NAME).members()) == [
        "detected/2_001_1_05.png",
        "labeled/1_001_1_01.png",
        "labeled/1_002_2_10.png",
        "labeled/2_001_2_06.png",
    ]


def test_pixels_are_upright(storage: Storage) -> None:
    data = storage.read(f"hdf5://{NAME}#labeled/1_002_2_10.png")
    assert data.startswith(b"P6 3 5 255\n")
    np.testing.assert_array_equal(decode(data), picture(20))


def test_test_sets_and_persons(storage: Storage) -> None:
    cells = CuhkCells(storage, NAME)
    assert cells.test_sets() == [[(1, 2), (1, 1)], [(2, 1)]]
    assert cells.persons("labeled") == [2, 1]


def test_a_zip_gives_the_same_bytes(storage: Storage, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / NAME, NAME)
    other = open_storage(tmp_path / "a.zip").container("hdf5", NAME)
    mine = storage.container("hdf5", NAME)
    assert [other.read(name) for name in other.members()] == [
        mine.read(name) for name in mine.members()
    ]


def test_an_empty_or_unknown_cell_is_missing(storage: Storage) -> None:
    for name in ("labeled/1_001_1_02.png", "labeled/9_001_1_01.png", "1_001_1_01.png"):
        with pytest.raises(KeyError):
            storage.container("hdf5", NAME).read(name)
    with pytest.raises(DataError, match=r"no file hdf5://release/cuhk-03.mat#labeled/x"):
        storage.read(f"hdf5://{NAME}#labeled/x")


def test_threads_and_copies_read_the_same(storage: Storage) -> None:
    path = f"hdf5://{NAME}#labeled/1_001_1_01.png"
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(storage.read, [path] * 40))) == 1
    assert pickle.loads(pickle.dumps(storage)).read(path) == storage.read(path)


def test_a_forked_process_reads_on(storage: Storage) -> None:
    path = f"hdf5://{NAME}#labeled/1_001_1_01.png"
    expected = storage.read(path)
    process = os.fork()
    if process == 0:
        os._exit(0 if storage.read(path) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_damage_is_an_error_of_one_line(tmp_path: Path) -> None:
    path = tmp_path / NAME
    write(path, CELLS)
    whole = path.read_bytes()
    for data in (b"", b"not HDF5", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"release/cuhk-03.mat cannot be read \(") as raised:
            list(open_storage(tmp_path).container("hdf5", NAME).members())
        assert "\n" not in str(raised.value)


def test_another_hdf5_file_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / NAME, CELLS)
    with h5py.File(tmp_path / NAME, "a") as file:
        del file["labeled"], file["testsets"]
    with pytest.raises(DataError, match=r"\(it lacks labeled, testsets\); expected cuhk-03.mat"):
        open_storage(tmp_path).container("hdf5", NAME)
    with h5py.File(tmp_path / NAME, "a") as file:
        file["labeled"], file["testsets"] = np.zeros((1, 5)), np.zeros((1, 20))
    with pytest.raises(DataError, match=r"cuhk-03.mat cannot be read \("):
        list(open_storage(tmp_path).container("hdf5", NAME).members())


def test_a_cell_of_other_pixels_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / NAME, CELLS)
    with h5py.File(tmp_path / NAME, "a") as file:
        cell = file[file["labeled"][0][0]][0][0]
        name = file[cell].name
        del file[name]
        file[f"{name}x"] = np.zeros((3, 3, 5))
        file[file["labeled"][0][0]][0, 0] = file[f"{name}x"].ref
    with pytest.raises(DataError, match=r"labeled/1_001_1_01.png is 3 of float64, not RGB"):
        open_storage(tmp_path).read(f"hdf5://{NAME}#labeled/1_001_1_01.png")
