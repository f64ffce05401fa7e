"""What the protocols need flows from the files of a data set to its feature store."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid.data.indexing import build_manifest
from reid.data.manifest import Manifest
from reid.data.readers import READERS, read_layout
from reid.data.readers.reading import Reading, Row
from reid.data.storage import open_storage
from reid.data.synthetic import WorldSpec, build_world
from reid.errors import DataError
from reid.retrieval.embeddings import Embeddings, new_features
from reid.retrieval.evaluate import PLAIN, Evaluation, EvaluationSettings, evaluate
from reid.retrieval.precision import as_float32, rounded
from reid.retrieval.protocols import PROTOCOLS, protocol_named
from reid.retrieval.reranking import RerankParams
from reid.stages.feature_store import (
    hidden_shares,
    make_embeddings,
    official_draws,
    rows_to_embed,
)
from reid.study import load_study

PARAMS = Path(__file__).parents[3] / "params"
WORLD = WorldSpec("smoke", "A", 1, "cross_modal")
INFRARED = (2, 5)
SETTINGS = EvaluationSettings(RerankParams(5, 2, 0.3))


def index(reading: Reading, root: Path, folder: Path) -> Manifest:
    build_manifest(reading, open_storage(root), "w", folder / "m.parquet", folder / "facts")
    return Manifest.load(folder / "m.parquet")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sysu") / "w"
    build_world(WORLD, root)
    return root


@pytest.fixture(scope="module")
def manifest(world: Path) -> Manifest:
    return index(read_layout("synthetic", open_storage(world)), world, world.parent)


@pytest.fixture(scope="module")
def embeddings(manifest: Manifest) -> Embeddings:
    rows = rows_to_embed("w", manifest)
    features = np.random.default_rng(0).normal(size=(len(rows), 16)).astype(np.float32)
    return make_embeddings(rows, features, {"dataset": "w"})


def test_cameras_modalities_and_hidden_shares_are_the_manifests(
    manifest: Manifest, embeddings: Embeddings
) -> None:
    frame = manifest.frame.set_index("path").loc[embeddings.paths]
    assert set(frame["split"]) == {"query", "gallery"}
    assert (embeddings.roles == frame["split"]).all()
    assert (embeddings.modalities == frame["modality"]).all()
    infrared = np.isin(embeddings.camera_ids, INFRARED)
    assert ((embeddings.modalities == "ir") == infrared).all()
    np.testing.assert_array_equal(embeddings.occlusions, frame["occ_fraction"])


def test_draws_are_those_that_the_generator_wrote(world: Path, embeddings: Embeddings) -> None:
    """The readable twin of the file that the reader takes the draws from says the same."""
    orders = pd.read_json(world / "exp/rand_perm_cam.json", typ="series")
    assert embeddings.draws.shape == (len(embeddings.paths), 10)
    for path, camera, draws in zip(
        embeddings.paths, embeddings.camera_ids, embeddings.draws, strict=True
    ):
        folder, person, name = path.split("/")
        trials = orders[folder][person]
        expected = [trial.index(int(name.removesuffix(".jpg"))) for trial in trials]
        assert draws.tolist() == ([-1] * 10 if camera in INFRARED else expected), path


def scored(embeddings: Embeddings, protocol: str) -> Evaluation:
    return evaluate(embeddings, protocol_named(protocol), SETTINGS)


@pytest.mark.parametrize(("shots", "name"), [(1, "sysu_all_single"), (10, "sysu_all_multi")])
def test_a_world_is_scored_on_its_official_draw(
    embeddings: Embeddings, tmp_path: Path, shots: int, name: str
) -> None:
    embeddings.save(tmp_path / "w")
    evaluation = scored(Embeddings.load(tmp_path / "w"), name)
    assert (evaluation.card["draw"], evaluation.card["trials"]) == ("official", 10)
    drawn = np.flatnonzero((embeddings.draws[:, 0] >= 0) & (embeddings.draws[:, 0] < shots))
    nearest = evaluation.nearest[PLAIN]
    found = nearest.gallery_rows[nearest.gallery_rows >= 0]
    assert set(found.tolist()) <= set(drawn.tolist())
    assert set(embeddings.modalities[nearest.query_rows]) == {"ir"}


def test_without_the_official_draw_the_card_says_seeded(embeddings: Embeddings) -> None:
    drawn = np.empty((len(embeddings.paths), 0), np.int64)
    plain = Embeddings(
        embeddings.features,
        embeddings.person_ids,
        embeddings.camera_ids,
        embeddings.roles,
        embeddings.paths,
        embeddings.card,
        embeddings.modalities,
        draws=drawn,
    )
    assert scored(plain, "sysu_indoor_single").card["draw"] == "seeded"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_features_are_stored_as_wished(manifest: Manifest, tmp_path: Path, precision: str) -> None:
    rows = rows_to_embed("w", manifest)
    features = np.random.default_rng(0).normal(size=(len(rows), 16)).astype(np.float32)
    stored = new_features(tmp_path / "w", features.shape, precision)
    stored[:] = rounded(features, precision)
    made = make_embeddings(rows, stored, {"dataset": "w"})
    written = (tmp_path / "w.npy").stat().st_ino
    made.save(tmp_path / "w")
    assert (tmp_path / "w.npy").stat().st_ino == written  # not once more
    size = (tmp_path / "w.npy").stat().st_size - features.nbytes // (
        2 if precision != "float32" else 1
    )
    assert 0 < size < 256  # the header
    loaded = Embeddings.load(tmp_path / "w")
    assert loaded.card == {"dataset": "w", "stored_as": precision}
    tolerance = 0 if precision == "float32" else 2**-8
    np.testing.assert_allclose(as_float32(loaded.features), features, rtol=tolerance)


def image(split: str, pid: int, number: int, **more: object) -> Row:
    path = f"{split}/{pid}_{number}.jpg"
    return Row(path=path, split=split, pid=pid, camid=None, cam_raw=None, **more)  # type: ignore[arg-type]


def pictured(rows: list[Row], world: Path, folder: Path) -> Manifest:
    """Give each row the bytes of some image of the world."""
    files = sorted((world / "cam1").rglob("*.jpg"))
    for number, row in enumerate(rows):
        (folder / row.path).parent.mkdir(parents=True, exist_ok=True)
        data = b"no image" if row.session == "broken" else files[number].read_bytes()
        (folder / row.path).write_bytes(data)
    ordered = sorted(rows, key=lambda row: row.path)
    return index(Reading("folder", 1, None, tuple(ordered)), folder, folder)


def test_a_pool_alone_is_embedded(world: Path, tmp_path: Path) -> None:
    rows = [
        image("train", 1, 1),
        image("test_pool", 2, 1, trial_roles={"1": "test", "2": "train"}),
        image("test_pool", 2, 2, modality="ir", trial_roles={"test_800": "test"}),
        image("test_pool", 3, 1, session="broken"),
        image("ignored", 4, 1),
    ]
    found = rows_to_embed("w", pictured(rows, world, tmp_path))
    stored = make_embeddings(found, np.ones((2, 3), np.float32), {})
    assert stored.paths.tolist() == ["test_pool/2_1.jpg", "test_pool/2_2.jpg"]
    assert stored.roles.tolist() == ["pool", "pool"]
    assert stored.modalities.tolist() == ["rgb", "ir"]
    assert stored.camera_ids.tolist() == [-1, -1]
    assert stored.draws.shape == (2, 0)


@pytest.mark.parametrize(("there", "missing"), [("query", "gallery"), ("gallery", "query")])
def test_one_side_alone_is_refused(world: Path, tmp_path: Path, there: str, missing: str) -> None:
    manifest = pictured([image("train", 1, 1), image(there, 2, 1)], world, tmp_path)
    with pytest.raises(DataError, match=f"w: the {missing} split is empty; expected query and"):
        rows_to_embed("w", manifest)


def test_what_hides_a_person_is_not_measured_by_guessing() -> None:
    rows = pd.DataFrame(
        {
            "occluded": pd.array([True, False, None, True, False], "boolean"),
            "occ_fraction": np.array([np.nan, np.nan, np.nan, 0.4, 0.05], np.float32),
        }
    )
    shares = hidden_shares(rows)
    np.testing.assert_array_equal(shares, np.float32([np.nan, 0, np.nan, 0.4, 0.05]))
    assert np.isnan(rows["occ_fraction"][1])  # the manifest stays as it is


def test_places_count_from_zero_and_words_are_none() -> None:
    roles = pd.Series([[("1", "1"), ("10", "3")], None, [("2", "test")], []], dtype=object)
    draws = official_draws(roles)
    assert draws.shape == (4, 10)
    assert draws[0, [0, 9]].tolist() == [0, 2]
    assert (draws >= 0).sum() == 2
    assert official_draws(roles[1:]).shape == (3, 0)


@pytest.mark.parametrize("layout", READERS)
def test_layouts_name_protocols_that_exist(layout: str) -> None:
    assert set(READERS[layout].protocols) <= set(PROTOCOLS)


@pytest.mark.parametrize("path", sorted((PARAMS / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_studies_name_protocols_that_exist(path: Path) -> None:
    for entry in load_study(path).datasets.values():
        assert set(entry.protocols) <= set(PROTOCOLS)
