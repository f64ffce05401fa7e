import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import DataError, EvaluationError, ReidError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.foreign.evaluation import evaluate_features, read_features
from reid.retrieval.foreign.names import COLUMNS, SIDES, place_of
from reid.retrieval.precision import as_float32, rounded

Q, G, D = 3, 7, 4
ROWS = Q + G


def together(seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "features": generator.normal(size=(ROWS, D)).astype(np.float32),
        "person_ids": np.array([1, 2, 3, 1, 2, 3, 1, 0, -1, 2]),
        "camera_ids": np.array([0, 0, 0, 1, 1, 2, 2, 1, 1, 2]),
        "is_query": np.arange(ROWS) < Q,
    }


def apart(arrays: dict[str, Any], query: str = "query_", gallery: str = "gallery_") -> dict:
    found = {name: values for name, values in arrays.items() if name != "is_query"}
    return {query + name: values[:Q] for name, values in found.items()} | {
        gallery + name: values[Q:] for name, values in found.items()
    }


def npz(folder: Path, compressed: bool = False, **arrays: Any) -> Path:
    path = folder / "toy.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def same(read: Embeddings, arrays: dict[str, Any]) -> None:
    np.testing.assert_array_equal(read.features, arrays["features"])
    np.testing.assert_array_equal(read.person_ids, arrays["person_ids"])
    np.testing.assert_array_equal(read.camera_ids, arrays["camera_ids"])
    np.testing.assert_array_equal(read.is_query, arrays["is_query"])


@pytest.mark.parametrize("compressed", [False, True])
def test_npz_of_both_sides_together(tmp_path: Path, compressed: bool) -> None:
    read = read_features(npz(tmp_path, compressed, **together()))
    same(read, together())
    assert isinstance(read.features, np.memmap) is not compressed
    assert len(read.card.pop("source_digest")) == 64
    told = {"dataset": "toy", "source": "toy.npz", "notes": [], "stored_as": "float32"}
    assert read.card == told
    assert set(read.roles.tolist()) == {"query", "gallery"}


def test_npz_of_sides_apart(tmp_path: Path) -> None:
    same(read_features(npz(tmp_path, **apart(together()))), together())


@pytest.mark.parametrize(
    "names",
    [
        ("qf", "gf", "q_pids", "g_pids", "q_camids", "g_camids"),
        ("query_f", "gallery_f", "query_label", "gallery_label", "query_cam", "gallery_cam"),
        ("q_feats", "g_feats", "qids", "gids", "q_cams", "g_cams"),
    ],
)
def test_customary_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    toy = apart(together())
    order = [
        f"{side}_{part}" for part in ("features", "person_ids", "camera_ids") for side in SIDES
    ]
    path = npz(tmp_path, **{name: toy[own] for name, own in zip(names, order, strict=True)})
    same(read_features(path), together())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(COLUMNS)), st.data())
def test_every_name_of_the_table_is_known(column: str, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(COLUMNS[column]))
    assert place_of(name.upper()) == ("", column)
    if column in ("roles", "is_query"):
        return
    side = data.draw(st.sampled_from(sorted(SIDES)))
    assert place_of(data.draw(st.sampled_from(SIDES[side])) + name) == (side, column)


def test_vectors_of_matrix_form(tmp_path: Path) -> None:
    toy = together()
    toy["person_ids"] = toy["person_ids"][None]
    toy["camera_ids"] = toy["camera_ids"][:, None]
    same(read_features(npz(tmp_path, **toy)), together())


def test_npy_with_a_table_beside_it(tmp_path: Path) -> None:
    toy = together()
    np.save(tmp_path / "toy.npy", toy["features"])
    roles = np.where(toy["is_query"], "query", "Gallery").tolist()
    table = pa.table({"pid": toy["person_ids"], "camid": toy["camera_ids"], "role": roles})
    pyarrow.csv.write_csv(table, tmp_path / "toy.csv")
    read = read_features(tmp_path / "toy.npy")
    same(read, toy)
    assert isinstance(read.features, np.memmap)
    (tmp_path / "toy.csv").unlink()
    pq.write_table(table, tmp_path / "other.parquet")
    same(read_features(tmp_path / "toy.npy", tmp_path / "other.parquet", "named"), toy)


@pytest.mark.parametrize("size", [-1, D])
def test_parquet_with_a_column_of_lists(tmp_path: Path, size: int) -> None:
    toy = together()
    lists = pa.array(toy["features"].tolist(), pa.list_(pa.float32(), size))
    table = pa.table({**toy, "features": lists, "path": [f"{row}.jpg" for row in range(ROWS)]})
    pq.write_table(table, tmp_path / "toy.parquet", row_group_size=4)
    read = read_features(tmp_path / "toy.parquet")
    same(read, toy)
    assert read.paths[3] == "3.jpg"


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_own_feature_store(tmp_path: Path, suffix: str) -> None:
    read_features(npz(tmp_path, **together())).save(tmp_path / "run" / "toy.v1")
    read = read_features(tmp_path / "run" / f"toy.v1{suffix}")
    same(read, together())
    assert read.card["dataset"] == "toy"


@pytest.mark.parametrize("legacy", [False, True])
def test_tensors(tmp_path: Path, legacy: bool) -> None:
    toy = {name: torch.tensor(values) for name, values in together().items()}
    toy["paths"] = [f"{row}.jpg" for row in range(ROWS)]
    torch.save(toy, tmp_path / "toy.pt", _use_new_zipfile_serialization=not legacy)
    read = read_features(tmp_path / "toy.pt")
    same(read, together())
    assert read.paths[2] == "2.jpg"


@pytest.mark.parametrize("kind", [np.float16, np.float64, ">f4"])
def test_types_of_features(tmp_path: Path, kind: Any) -> None:
    toy = together()
    toy["features"] = toy["features"].astype(kind)
    read = read_features(npz(tmp_path, **toy))
    assert read.features.dtype == (np.float16 if kind is np.float16 else np.float32)
    np.testing.assert_array_equal(read.features, toy["features"].astype(np.float32))


def test_bfloat16(tmp_path: Path) -> None:
    toy = together()
    bits = rounded(toy["features"], "bfloat16")
    read = read_features(npz(tmp_path, **{**toy, "features": bits}))
    np.testing.assert_allclose(as_float32(read.features), toy["features"], rtol=2**-8)
    assert read.card["notes"] == ["features of type uint16 are taken for the bits of bfloat16"]
    tensors = {name: torch.tensor(values) for name, values in toy.items()}
    torch.save({**tensors, "features": tensors["features"].bfloat16()}, tmp_path / "toy.pth")
    np.testing.assert_array_equal(read_features(tmp_path / "toy.pth").features, bits)


def test_optional_columns(tmp_path: Path) -> None:
    toy = together() | {
        "modality": np.where(np.arange(ROWS) < Q, "Thermal", "visible"),
        "occlusions": np.linspace(0, 1, ROWS),
        "draws": np.zeros((ROWS, 2), np.int32),
    }
    read = read_features(npz(tmp_path, **toy))
    assert read.modalities.tolist() == ["ir"] * Q + ["rgb"] * G
    assert read.occlusions[-1] == 1
    assert read.draws.shape == (ROWS, 2)


def test_without_cameras_and_roles(tmp_path: Path) -> None:
    toy = together()
    read = read_features(npz(tmp_path, features=toy["features"], pids=toy["person_ids"]))
    assert set(read.camera_ids.tolist()) == {-1}
    assert set(read.roles.tolist()) == {"pool"}
    assert sorted(read.paths.tolist()) == read.paths.tolist()


def test_cameras_from_one_are_counted_from_zero(tmp_path: Path) -> None:
    toy = together()
    read = read_features(npz(tmp_path, **{**toy, "camera_ids": toy["camera_ids"] + 1}))
    same(read, toy)
    assert read.card["first_camera"] == 1


def test_ids_that_are_text_or_whole_floats(tmp_path: Path) -> None:
    toy = together()
    names = np.array(["-1" if one == -1 else f"p{one:02d}" for one in toy["person_ids"]])
    digits = np.array([f"{one:04d}" for one in toy["camera_ids"]])
    read = read_features(npz(tmp_path, **{**toy, "person_ids": names, "camera_ids": digits}))
    # p00 is the first name, and names are numbered from 1
    expected = np.where(toy["person_ids"] == -1, -1, toy["person_ids"] + 1)
    np.testing.assert_array_equal(read.person_ids, expected)
    np.testing.assert_array_equal(read.camera_ids, toy["camera_ids"])
    (note,) = read.card["notes"]
    assert note.startswith("4 person ids are text and were numbered from 1 in sorted order, 'p00'")
    same(read_features(npz(tmp_path, **{**toy, "person_ids": toy["person_ids"] * 1.0})), toy)


def test_text_ids_of_both_sides_share_their_numbers(tmp_path: Path) -> None:
    toy = together()
    toy["person_ids"] = np.array([f"p{one}" for one in toy["person_ids"]])
    read = read_features(npz(tmp_path, **apart(toy)))
    names = toy["person_ids"]
    assert ((read.person_ids[:, None] == read.person_ids) == (names[:, None] == names)).all()


def test_arrays_of_no_use_are_named(tmp_path: Path) -> None:
    objects = np.array([{"never": "read"}], dtype=object)
    read = read_features(npz(tmp_path, **together(), epoch=np.array(3), extra=objects))
    assert read.card["notes"] == ["ignored: epoch, extra"]


Change = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {**t, "person_ids": t["person_ids"][:-1]},
            r"toy.npz: person_ids: an array of shape \(9,\) for toy.npz: features of 10 rows",
        ),
        (lambda t: {**t, "features": t["features"].astype(str)}, "features of type <U"),
        (lambda t: {**t, "features": t["features"].astype(np.int32)}, "features of type int32"),
        (lambda t: {**t, "features": t["features"][:, :, None]}, r"of shape \(10, 4, 1\)"),
        (lambda t: {name: v[:0] for name, v in t.items()}, r"shape \(0, 4\); .* not empty"),
        (
            lambda t: {**t, "person_ids": t["person_ids"] + 0.5},
            "person ids of type float64 such as 1.5; expected whole numbers or text",
        ),
        (
            lambda t: {**t, "camera_ids": t["camera_ids"] - 4},
            "camera id -4; expected ids from 0, and -1 for unknown",
        ),
        (
            lambda t: {**t, "is_query": np.array(["probe", "test"] * 5)},
            "true or false",
        ),
        (
            lambda t: {"roles": np.array(["probe", "test"] * 5)} | without(t, "is_query"),
            "'test'; expected one of query, q, probe, gallery",
        ),
        (lambda t: {**t, "is_query": t["is_query"] | True}, "no gallery among 10 rows"),
        (lambda t: {**t, "is_query": t["is_query"] & False}, "no query among 10 rows"),
        (lambda t: {**t, "modality": np.array(["sepia"] * 10)}, "'sepia'; expected one of rgb"),
        (lambda t: {**t, "draws": np.zeros(10, int)}, r"expected whole numbers \[10, trials\]"),
        (lambda t: {**t, "occlusions": np.array(["much"] * 10)}, "type <U4; expected numbers"),
        (
            lambda t: without(t, "person_ids") | {"epoch": np.zeros(1)},
            r"no person ids \(found: features, camera_ids, is_query; ignored: epoch\)",
        ),
        (lambda t: {"arr_0": t["features"]}, r"no features \(found: ignored: arr_0\)"),
        (
            lambda t: without(t, "camera_ids") | {"camra_ids": t["camera_ids"]},
            r"unknown name 'camra_ids' \(did you mean 'camera_ids'\?\)",
        ),
        (lambda t: {**t, "pids": t["person_ids"]}, "'pids' beside 'toy.npz: person_ids'"),
        (lambda t: {**t, "roles": t["is_query"]}, "roles and toy.npz: is_query; expected one"),
        (
            lambda t: {**t, "qf": t["features"]},
            "'toy.npz: features' beside arrays of queries and gallery apart",
        ),
        (
            lambda t: without(apart(t), "query_camera_ids"),
            "camera ids of the gallery alone",
        ),
        (lambda t: without(apart(t), "gallery_features"), "no gallery features"),
        (
            lambda t: apart(t) | {"query_features": t["features"][:Q, :2]},
            "rows of 2 and of 4 values; expected equal sizes",
        ),
        (
            lambda t: apart(t) | {"query_features": t["features"][:Q].astype(np.uint16)},
            "uint16 and float32; expected one type",
        ),
        (
            lambda t: apart(t) | {"query_person_ids": np.array(["a", "b", "c"])},
            "query_person_ids and toy.npz: gallery_person_ids: text and numbers",
        ),
    ],
)
def test_refusals_are_one_line(tmp_path: Path, change: Change, message: str) -> None:
    path = npz(tmp_path, **change(together()))
    with pytest.raises(DataError, match=message) as caught:
        read_features(path)
    assert "\n" not in str(caught.value)


def without(arrays: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: values for key, values in arrays.items() if key != name}


@pytest.mark.parametrize("compressed", [False, True])
def test_pickled_objects_are_never_unpickled(tmp_path: Path, compressed: bool) -> None:
    objects = np.array([Trap()] * ROWS, dtype=object)
    path = npz(tmp_path, compressed, **{**together(), "person_ids": objects})
    with pytest.raises(DataError, match="'person_ids' holds pickled Python objects"):
        read_features(path)
    np.save(tmp_path / "toy.npy", objects, allow_pickle=True)
    with pytest.raises(DataError, match=r"toy.npy.* never unpickled"):
        read_features(tmp_path / "toy.npy")
    torch.save({"features": Trap()}, tmp_path / "toy.pt")
    with pytest.raises(DataError, match="objects other than a dict of tensors"):
        read_features(tmp_path / "toy.pt")


class Trap:
    """Must not come to life."""

    def __setstate__(self, state: object) -> None:
        raise AssertionError("unpickled")

    def __getstate__(self) -> dict[str, int]:
        return {"never": 1}


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".parquet", ".pt", ".pth"])
def test_files_that_are_something_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"toy{suffix}"
    with pytest.raises(DataError, match="no such file"):
        read_features(path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="an empty file"):
        read_features(path)
    path.write_bytes(b"once upon a time")
    with pytest.raises(DataError, match=r"cannot be read|never unpickled"):
        read_features(path)
    path.write_bytes(pickle.dumps({"features": [1.0]}, protocol=2))
    with pytest.raises(DataError, match=r"cannot be read|never unpickled"):
        read_features(path)


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = npz(tmp_path, **together())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"toy.npz: cannot be read"):
        read_features(path)
    np.save(tmp_path / "toy.npy", together()["features"])
    whole = (tmp_path / "toy.npy").read_bytes()
    (tmp_path / "toy.npy").write_bytes(whole[:-8])
    with pytest.raises(DataError, match=r"toy.npy: cannot be read"):
        read_features(tmp_path / "toy.npy")


def test_unknown_suffix(tmp_path: Path) -> None:
    (tmp_path / "toy.mat").write_bytes(b"MATLAB")
    with pytest.raises(DataError, match=r"unknown kind of file '\.mat'; .*Save it as \.npz"):
        read_features(tmp_path / "toy.mat")


def test_rows_of_lists_differ_and_cells_are_empty(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"feature": [[1.0], [1.0, 2.0]], "pid": [1, 2]}), tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match="column 'feature' has rows of 1 to 2 values"):
        read_features(tmp_path / "a.parquet")
    pq.write_table(pa.table({"feature": [[1.0], [2.0]], "pid": [1, None]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column 'pid' has 1 empty cells of 2"):
        read_features(tmp_path / "a.parquet")


def test_evaluation_of_arrays() -> None:
    toy = apart(together())
    found = evaluate_features(**{name: values.tolist() for name, values in toy.items()})
    assert found.test_set == "features/market"
    assert set(found.scores) == {"plain", "rerank_k20_6_0.3"}
    assert 0 < found.scores["plain"].mAP <= 1


def test_arrays_without_cameras() -> None:
    toy = {name: values for name, values in apart(together()).items() if "camera" not in name}
    with pytest.raises(EvaluationError, match=r"no camera ids under .* --protocol no_camera"):
        evaluate_features(**toy)
    assert evaluate_features(**toy, protocol="no_camera").protocol == "no_camera"


def test_arrays_that_do_not_fit() -> None:
    toy = apart(together())
    with pytest.raises(ReidError, match=r"query_person_ids: an array of shape \(2,\)"):
        evaluate_features(**{**toy, "query_person_ids": [1, 2]})
    with pytest.raises(ReidError, match="NaN or infinity"):
        evaluate_features(**{**toy, "query_features": toy["query_features"] * np.nan})


def test_modalities_follow_from_the_sides_where_none_are_named() -> None:
    toy = apart(together())
    found = evaluate_features(**toy, protocol="regdb_thermal_to_visible")
    assert found.card["notes"] == ["no modalities: queries are taken for ir, the gallery for rgb"]
    assert found.card["queries"] == Q
