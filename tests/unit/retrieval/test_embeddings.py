from pathlib import Path

import numpy as np
import pytest

from reid.errors import DataError
from reid.retrieval.embeddings import Embeddings


def embeddings(rows: int = 5) -> Embeddings:
    return Embeddings(
        features=np.arange(rows * 3, dtype=np.float32).reshape(rows, 3),
        person_ids=np.arange(rows) - 1,
        camera_ids=np.arange(rows) % 2,
        roles=["query", *["gallery"] * (rows - 1)],
        paths=[f"query/{row:04d}.jpg" for row in range(rows)],
        card={"dataset": "tiny", "flip": True},
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    written = embeddings()
    written.save(tmp_path / "run" / "tiny.v1")
    read = Embeddings.load(tmp_path / "run" / "tiny.v1")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "tiny.v1.npy",
        "tiny.v1.parquet",
    ]
    for name in ("features", "person_ids", "camera_ids", "roles", "paths"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read.card == written.card
    assert isinstance(read.features, np.memmap)


def test_saving_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        embeddings().save(tmp_path / name)
    for suffix in (".npy", ".parquet"):
        first, second = (tmp_path / f"{name}{suffix}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_sides_keep_their_rows() -> None:
    assert embeddings().query.paths.tolist() == ["query/0000.jpg"]
    assert embeddings().gallery.person_ids.tolist() == [0, 1, 2, 3]
    assert embeddings().gallery.card == {"dataset": "tiny", "flip": True}


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_missing_file_is_named(tmp_path: Path, suffix: str) -> None:
    embeddings().save(tmp_path / "tiny")
    (tmp_path / f"tiny{suffix}").unlink()
    with pytest.raises(DataError, match=rf"tiny\{suffix}: no such file; .* Run the embed stage"):
        Embeddings.load(tmp_path / "tiny")


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_damaged_file_is_one_line(tmp_path: Path, suffix: str) -> None:
    embeddings().save(tmp_path / "tiny")
    (tmp_path / f"tiny{suffix}").write_bytes(b"not what it should be")
    with pytest.raises(DataError, match="tiny: cannot be read") as caught:
        Embeddings.load(tmp_path / "tiny")
    assert "\n" not in str(caught.value)


def test_files_of_different_images_are_refused(tmp_path: Path) -> None:
    embeddings(5).save(tmp_path / "tiny")
    embeddings(6).save(tmp_path / "other")
    (tmp_path / "other.npy").rename(tmp_path / "tiny.npy")
    with pytest.raises(DataError, match=r"features of shape \(6, 3\), rows made for \[5, 3\]"):
        Embeddings.load(tmp_path / "tiny")


def test_columns_must_fit() -> None:
    with pytest.raises(DataError, match="expected a matrix with one row for each image"):
        Embeddings(np.zeros((2, 3)), [1], [0, 0], ["query"] * 2, ["a", "b"])


def test_unknown_role() -> None:
    with pytest.raises(DataError, match="role 'probe'; expected one of query, gallery"):
        Embeddings(np.zeros((1, 3)), [1], [0], ["probe"], ["a"])


def pool(rows: int, trials: int) -> Embeddings:
    return Embeddings(
        features=np.full((rows, 2), 0x3F80, np.uint16),
        person_ids=np.arange(rows),
        camera_ids=np.full(rows, -1),
        roles=["pool"] * rows,
        paths=[str(row) for row in range(rows)],
        modalities=["ir", "rgb"] * (rows // 2),
        occlusions=np.linspace(0, 1, rows),
        draws=np.arange(rows * trials).reshape(rows, trials) - 1,
    )


@pytest.mark.parametrize(("rows", "trials"), [(4, 3), (4, 0), (2, 1), (0, 0)])
def test_modalities_occlusions_and_draws_come_back(tmp_path: Path, rows: int, trials: int) -> None:
    written = pool(rows, trials)
    written.save(tmp_path / "pool")
    read = Embeddings.load(tmp_path / "pool")
    assert read.features.dtype == np.uint16
    assert read.draws.shape == (rows, trials)
    for name in ("features", "roles", "modalities", "occlusions", "draws"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
        assert getattr(read, name).dtype.kind == getattr(written, name).dtype.kind


def test_rows_are_taken_with_all_that_is_known_of_them() -> None:
    taken = pool(4, 3).take(np.array([2, 1]))
    assert taken.modalities.tolist() == ["ir", "rgb"]
    assert taken.draws.tolist() == [[5, 6, 7], [2, 3, 4]]
    np.testing.assert_allclose(taken.occlusions, [2 / 3, 1 / 3], rtol=1e-6)


def test_what_is_not_stated_is_unknown() -> None:
    plain = embeddings()
    assert set(plain.modalities) == {"rgb"}
    assert np.isnan(plain.occlusions).all()
    assert plain.draws.shape == (5, 0)


def test_unknown_modality() -> None:
    with pytest.raises(DataError, match="modality 'thermal'; expected one of rgb, ir"):
        Embeddings(np.zeros((1, 3)), [1], [0], ["query"], ["a"], modalities=["thermal"])


@pytest.mark.parametrize("draws", [np.zeros((3, 1)), np.zeros(2)])
def test_draws_must_fit(draws: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected a matrix with one row for each image"):
        Embeddings(np.zeros((2, 3)), [1, 2], [0, 0], ["query"] * 2, ["a", "b"], draws=draws)
