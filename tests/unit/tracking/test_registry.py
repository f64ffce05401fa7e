import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow.artifacts
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from PIL import Image
from safetensors.torch import load_file, save_file

from reid.errors import RegistryError
from reid.methods.model_directory import load_model
from reid.retrieval.result import Result
from reid.tracking import serving
from reid.tracking.model_card import Conditions
from reid.tracking.registered import read_version
from reid.tracking.registry import register_model
from reid.tracking.run import start_run
from reid.tracking.store import open_client, open_store
from reid.tracking.stored_evaluation import load_measured
from tests.unit.tracking.measured import CAMERAS, HOME, TEST, USE, made_result, register
from tests.unit.tracking.mlflow_server import MlflowServer

MakeModel = Callable[..., Path]


@contextmanager
def using(mlruns: Path) -> Iterator[None]:
    """Point MLflow's global address at the store, as a user's script does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", open_store(mlruns))
        yield


def holder(client: MlflowClient, name: str, alias: str = "challenger") -> str:
    return str(client.get_model_version_by_alias(name, alias).tags["run"])


def test_a_server_that_keeps_the_files_takes_a_version(
    make_model: MakeModel, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(mlruns)
    server = MlflowServer(mlruns)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        register(make_model("bot", "served"), 0.5, mlruns)
        version = MlflowClient(server.address).get_model_version("served.synth", "1")
    finally:
        server.kill()
    assert version.source is not None
    assert version.source.startswith("mlflow-artifacts:/")


def test_a_version_knows_where_it_comes_from(make_model: MakeModel, mlruns: Path) -> None:
    with start_run("lineage", "bot", root=mlruns) as run:
        run.log_dataset("synth", TEST.manifest_digest, "data/synth/manifest.parquet", "train")
    ended = open_client(mlruns).get_run(run.run_id).info.end_time
    folder = make_model("bot", "lineage", mlflow_run_id=run.run_id, git_commit="c0ffee")

    record = register(folder, 0.5, mlruns)

    assert (record["name"], record["version"]) == ("lineage.synth", 1)
    assert record["run_id"] == run.run_id
    client = open_client(mlruns)
    assert client.get_run(run.run_id).info.end_time == ended
    tags = client.get_model_version("lineage.synth", "1").tags
    assert tags["licence"] == "CC0"
    assert tags["intended_use"] == USE
    assert tags["git_commit"] == "c0ffee"
    assert tags["model_md5"].endswith(".dir")
    assert tags["parent_model_id"] == "none"
    assert tags[f"{HOME}/mAP"] == "0.5"
    assert not [key for key in tags if "rerank" in key]
    metrics = {metric.key: metric for metric in client.get_logged_model(record["model_id"]).metrics}
    assert metrics[f"{HOME}/mAP"].value == 0.5
    assert metrics[f"{HOME}/mAP"].dataset_name == "synth"
    assert TEST.manifest_digest.startswith(metrics[f"{HOME}/mAP"].dataset_digest)
    assert {key: metric.value for key, metric in metrics.items()} == record["metrics"]
    assert client.get_run(run.run_id).data.metrics == record["metrics"]
    json.dumps(record)


def test_the_artifact_carries_card_and_lineage(make_model: MakeModel, mlruns: Path) -> None:
    record = register(make_model("bot", "artifact"), 0.25, mlruns)
    with using(mlruns):
        copy = Path(mlflow.artifacts.download_artifacts(f"models:/{record['name']}@challenger"))
    assert json.loads((copy / "lineage.json").read_text()) == record["lineage"]
    card = (copy / "model_card.md").read_text()
    assert USE in card
    assert "| synth/market/mAP | 0.2500 |" in card
    assert "| synth/market/rerank_k20_6_0.3/mAP | 0.3500 |" in card
    assert "- distance: squared Euclidean" in card


def test_registering_again_returns_the_version(make_model: MakeModel, mlruns: Path) -> None:
    folder = make_model("bot", "again")
    first = register(folder, 0.5, mlruns)
    assert register(folder, 0.5, mlruns) == first
    assert len(open_client(mlruns).search_model_versions("name='again.synth'")) == 1
    assert register(folder, 0.6, mlruns)["version"] == 2


def test_other_code_alone_is_no_other_version(make_model: MakeModel, mlruns: Path) -> None:
    folder = make_model("bot", "provenance")
    stage = {"state": "run by dvc", "outs": {"data/synth": "c0ffee.dir"}, "params": {}}
    source = {"commit": "one", "dirty": True, "patch": "+caf\udce9\n"}
    provenance = {
        "stages": {"data@synth": stage},
        "source": source,
        "environment": {"python": "3.11"},
    }
    first = register(folder, 0.5, mlruns, provenance=provenance)
    assert first["lineage"]["source"] == source
    version = open_client(mlruns).get_model_version("provenance.synth", "1")
    assert version.tags["dvc.data/synth"] == "c0ffee.dir"
    assert version.tags["source.commit"] == "one"
    assert not {"stages", "source", "environment"} & set(version.tags)
    assert "| dvc.state | all run by dvc |" in version.description
    with using(mlruns):
        copy = Path(mlflow.artifacts.download_artifacts("models:/provenance.synth/1"))
    assert (copy / "source/uncommitted.patch").read_bytes() == b"+caf\xe9\n"

    later = {**provenance, "source": {**source, "commit": "two"}}
    assert register(folder, 0.5, mlruns, provenance=later) == first
    read = read_version("provenance.synth/1", mlruns)
    assert read == read_version("provenance.synth@challenger", mlruns) == first
    with pytest.raises(
        RegistryError, match=r"provenance\.synth has no version .7.; expected one of 1"
    ):
        read_version("provenance.synth/7", mlruns)
    by_hand = {**provenance, "stages": {"data@synth": {**stage, "state": "not run by dvc: why"}}}
    again = register(folder, 0.5, mlruns, provenance=by_hand)
    assert again["version"] == 2


def test_the_best_version_is_challenger_and_nobody_champion(
    make_model: MakeModel, mlruns: Path
) -> None:
    client = open_client(mlruns)
    name = "aliases.synth"
    register(make_model("a", "aliases"), 0.4, mlruns)
    register(make_model("b", "aliases"), 0.6, mlruns)
    register(make_model("c", "aliases"), 0.5, mlruns)
    assert set(client.get_registered_model(name).aliases) == {
        "challenger",
        "challenger-synth-market",
    }
    for suffix in ("", "-synth-market"):
        assert holder(client, name, f"challenger{suffix}") == "b"


def test_other_conditions_are_not_ranked_together(make_model: MakeModel, mlruns: Path) -> None:
    client = open_client(mlruns)
    register(make_model("a", "apart"), 0.9, mlruns)
    for run, other in (
        ("manifest", Conditions("synth", "ef" * 32, TEST.protocol)),
        ("protocol", Conditions("synth", TEST.manifest_digest, {**TEST.protocol, "flip": True})),
    ):
        register(make_model(run, "apart"), 0.2, mlruns, test=other)
        assert holder(client, "apart.synth") == run


def test_withdrawn_data_never_make_a_challenger(make_model: MakeModel, mlruns: Path) -> None:
    client = open_client(mlruns)
    register(make_model("duke", "withdrawn", status="withdrawn"), 0.9, mlruns)
    assert client.get_registered_model("withdrawn.synth").aliases == {}
    register(make_model("bot", "withdrawn"), 0.1, mlruns)
    assert holder(client, "withdrawn.synth") == "bot"


def test_the_whole_result_is_stored_beside_the_model(
    make_model: MakeModel, mlruns: Path, tmp_path: Path
) -> None:
    folder = make_model("bot", "stored")
    record = register(folder, 0.5, mlruns)
    client = open_client(mlruns)
    version = client.get_model_version(record["name"], str(record["version"]))
    assert version.tags["home_test"] == HOME
    made = made_result(folder, 0.5)
    read = load_measured(version, open_store(mlruns)).result
    assert (read.metrics, read.cards, read.breakdowns) == (
        made.metrics,
        made.cards,
        made.breakdowns,
    )
    key = (HOME, "plain")
    np.testing.assert_array_equal(read.queries[key].paths, made.queries[key].paths)
    np.testing.assert_array_equal(
        read.queries[key].average_precision, made.queries[key].average_precision
    )
    assert read.queries[key].groups["camera"].tolist() == CAMERAS.tolist()


def test_a_result_of_other_weights_is_refused(make_model: MakeModel, mlruns: Path) -> None:
    result = made_result(make_model("old", "weights"), 0.5)
    folder = make_model("new", "weights", seed=1)
    with pytest.raises(
        RegistryError, match=r"was measured with the weights \w{12}; expected those"
    ):
        register_model(folder, result, {HOME: TEST}, USE, mlruns)
    assert not open_client(mlruns).search_registered_models("name='weights.synth'")


def test_a_parent_is_named_by_its_model_id(make_model: MakeModel, mlruns: Path) -> None:
    base = make_model("base", "parents")
    parent = register(base, 0.1, mlruns)
    parents = (str(base / "model.safetensors"), "timm:resnet18")
    tuned = make_model("tuned", "parents", seed=1, train_dataset="other", parents=parents)
    child = register(tuned, 0.2, mlruns)
    tags = open_client(mlruns).get_logged_model(child["model_id"]).tags
    assert tags["parent_model_id"] == f"{parent['model_id']}, timm:resnet18"


@pytest.mark.parametrize(
    ("licence", "use", "found"),
    [
        ("", USE, "bot: no licence of its training data; expected the licence"),
        ("CC0", " ", "bot: no intended use; expected the intended use"),
    ],
)
def test_terms_are_demanded(
    make_model: MakeModel, mlruns: Path, licence: str, use: str, found: str
) -> None:
    with pytest.raises(RegistryError, match=found):
        register(make_model("bot", "terms", licence=licence), 0.5, mlruns, use=use)
    assert not open_client(mlruns).search_registered_models("name='terms.synth'")


def test_a_measurement_is_demanded(make_model: MakeModel, mlruns: Path) -> None:
    nothing = Result("bot", {}, {}, {}, {}, {})
    with pytest.raises(RegistryError, match=f"bot: no metric {HOME}/mAP; expected a plain mAP"):
        register_model(make_model("bot", "numbers"), nothing, {HOME: TEST}, USE, mlruns)


def test_a_copy_that_differs_is_taken_back(
    make_model: MakeModel, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model("bot", "differs")
    honest = mlflow.artifacts.download_artifacts

    def damage(*arguments: Any, **names: Any) -> str:
        copy = Path(honest(*arguments, **names))
        (recipe,) = copy.rglob("recipe.yaml")
        recipe.write_text(recipe.read_text().replace("- 0.5", "- 0.501"))
        return str(copy)

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", damage)
    with pytest.raises(RegistryError, match=r"differ from those of the local model by 0\.00"):
        register(folder, 0.5, mlruns)
    assert not open_client(mlruns).search_model_versions("name='differs.synth'")


def test_a_copy_that_does_not_load_is_taken_back(
    make_model: MakeModel, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_model("bot", "broken")

    def fail(path: str) -> None:
        raise OSError("no weights")

    monkeypatch.setattr("mlflow.pyfunc.load_model", fail)
    with pytest.raises(RegistryError, match=r"cannot be loaded back \(no weights\)"):
        register(folder, 0.5, mlruns)
    assert not open_client(mlruns).search_model_versions("name='broken.synth'")


def test_a_user_loads_a_version_by_its_alias(make_model: MakeModel, mlruns: Path) -> None:
    folder = make_model("bot", "predict")
    register(folder, 0.5, mlruns)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 10, 3), dtype=np.uint8)
    with using(mlruns):
        rows = mlflow.pyfunc.load_model("models:/predict.synth@challenger").predict(pixels)
    np.testing.assert_array_equal(rows, serving.embed_input(load_model(folder), pixels))


def test_a_user_scores_pairs_with_a_registered_model(
    make_pair_model: MakeModel, mlruns: Path, tmp_path: Path
) -> None:
    folder = make_pair_model("transmatcher", "scores")
    record = register(folder, 0.5, mlruns)
    logged = open_client(mlruns).get_logged_model(record["model_id"])
    assert logged.model_type == "person re-identification pair score"
    files = [str(tmp_path / f"{name}.png") for name in "ab"]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 10, 3), dtype=np.uint8)
    for file, image in zip(files, pixels, strict=True):
        Image.fromarray(image).save(file)
    frame = pd.DataFrame({"query": files, "gallery": files[::-1]})
    with using(mlruns):
        copy = mlflow.pyfunc.load_model("models:/scores.synth@challenger")
    model = load_model(folder)
    np.testing.assert_array_equal(copy.predict(frame), serving.predict(model, frame))
    np.testing.assert_array_equal(copy.predict(pixels), serving.embed_input(model, pixels))


def test_a_copy_that_scores_otherwise_is_taken_back(
    make_pair_model: MakeModel, mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its maps are the same, so that only the scores tell."""
    folder = make_pair_model("transmatcher", "otherwise")
    honest = mlflow.artifacts.download_artifacts

    def damage(*arguments: Any, **names: Any) -> str:
        copy = Path(honest(*arguments, **names))
        (weights,) = copy.rglob("model.safetensors")
        state = load_file(weights)
        state["matcher.decoder.norm.bias"] += 0.01
        save_file(state, weights)
        return str(copy)

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", damage)
    with pytest.raises(RegistryError, match=r"pair scores of .* of the local model by 0\.01"):
        register(folder, 0.5, mlruns)
    assert not open_client(mlruns).search_model_versions("name='otherwise.synth'")
