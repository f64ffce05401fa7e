"""The real graph on the smoke world: what runs, what is skipped, what survives a kill."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.pipeline.conftest import Project, copy_of

TEST_SETS = {
    **dict.fromkeys(
        ("bot", "transreid", "personvit", "reidmamba", "transmatcher"), "synth_smoke_a/market"
    ),
    "idkl": "synth_smoke_ir/sysu_all_single",
}
RUNS = tuple(TEST_SETS)
PRETRAINED = Path("models/smoke/pretrained/personvit")


@pytest.fixture(scope="module")
def project(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the reproduced study for the tests that change it, one after the other."""
    return copy_of(reproduced, tmp_path_factory.mktemp("project") / "smoke")


def chain(run: str, *kinds: str) -> set[str]:
    return {f"{kind}@{run}" for kind in kinds}


def test_every_stage_leaves_what_the_graph_promises(reproduced: Project) -> None:
    for run in RUNS:
        model = reproduced.folder / "models/smoke" / run
        assert {p.name for p in model.iterdir()} == {
            "card.json",
            "curves.png",
            "history.csv",
            "model.safetensors",
            "recipe.yaml",
        }
        metrics = json.loads((reproduced.folder / f"results/smoke/{run}.json").read_text())
        for setting in ("", "rerank_k20_6_0.3/"):
            assert 0 < metrics[f"{TEST_SETS[run]}/{setting}mAP"] <= 1
        record = json.loads((reproduced.folder / f"registry/smoke/{run}.json").read_text())
        assert record["version"]
    assert (reproduced.folder / "reports/smoke/comparison.html").exists()
    sheets = reproduced.folder / "results/smoke/sheets/idkl"
    assert (sheets / "modality_gap_synth_smoke_ir.png").exists()


def test_a_shortlist_has_protocols_of_its_own(reproduced: Project) -> None:
    results = reproduced.folder / "results/smoke"
    metrics = json.loads((results / "transmatcher_shortlist.json").read_text())
    assert 0 < metrics["synth_smoke_a/market_shortlist5/mAP"] <= 1
    assert not any("/market/" in name or "rerank" in name for name in metrics)
    card = json.loads((results / "transmatcher_shortlist.card.json").read_text())
    assert card["synth_smoke_a/market_shortlist5"]["shortlist_by"] == "transreid"
    table = (reproduced.folder / "reports/smoke/comparison.md").read_text()
    assert "## synth_smoke_a/market_shortlist5" in table


def test_mlflow_shows_parent_and_child(reproduced: Project) -> None:
    uri = f"sqlite:///{reproduced.folder / 'mlruns/mlflow.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("smoke")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs["reidmamba"].data.tags["backend.scan"] == "native"
    parent, child = runs["personvit (pretraining)"], runs["personvit"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.status == "FINISHED"
    curve = client.get_metric_history(parent.info.run_id, "pretrain/loss")
    assert [point.step for point in curve] == [1, 2]
    assert parent.inputs.dataset_inputs[0].dataset.name == "synth_smoke_pretrain"

    record = json.loads((reproduced.folder / "registry/smoke/personvit.json").read_text())
    version = client.get_model_version(record["name"], str(record["version"]))
    backbone = client.get_logged_model(version.tags["parent_model_id"])
    assert backbone.source_run_id == parent.info.run_id
    card = json.loads((reproduced.folder / PRETRAINED / "card.json").read_text())
    assert backbone.tags["weights_sha256"] == card["weights_sha256"]
    assert child.data.tags["parent.weights_sha256"] == card["weights_sha256"]
    assert record["lineage"]["parents"] == [str(PRETRAINED / "backbone.safetensors")]
    assert record["lineage"]["pretraining"]["mean"] == [0.485, 0.456, 0.406]


def test_a_pretraining_goes_on_from_another(reproduced: Project, tmp_path: Path) -> None:
    project = copy_of(reproduced, tmp_path / "project")
    study = project.folder / "params/study.yaml"
    text = study.read_text()
    more = """\
  again:
    recipe: params/pretrain/smoke.yaml
    data: synth_smoke_pretrain
    selected_by: scores.csv
    share: 0.4
    starts_from: models/smoke/pretrained/personvit
    overrides: {epochs: 1}
"""
    study.write_text(re.sub(r"(?m)^run_defaults:", f"{more}\nrun_defaults:", text))
    images = sorted(
        path.relative_to(project.folder / "data/synth_smoke_pretrain").as_posix()
        for path in (project.folder / "data/synth_smoke_pretrain").rglob("*.jpg")
    )
    rows = "".join(f"{path},{number}\n" for number, path in enumerate(images))
    (project.folder / "scores.csv").write_text(f"path,score\n{rows}")
    assert project.repro("pretrain@again") == ["pretrain@again"]
    folder = project.folder / "models/smoke/pretrained/again"
    card = json.loads((folder / "card.json").read_text())
    assert card["parents"] == [str(PRETRAINED)]
    assert card["selected_by"] == "scores.csv"
    assert card["images"] == round(0.4 * len(images))


def test_nothing_changed_nothing_runs(project: Project) -> None:
    assert project.repro() == []


def test_the_weight_of_re_ranking_reruns_only_the_scores(project: Project) -> None:
    stale = project.changed()
    with edited(project, "lambda: 0.3", "lambda: 0.5"):
        scored = {f"evaluate@{run}" for run in RUNS} | {"shortlist@transmatcher_shortlist"}
        assert project.changed() - stale == scored
        assert set(project.repro("register@bot")) == chain("bot", "evaluate", "register")
        metrics = json.loads((project.folder / "results/smoke/bot.json").read_text())
    assert "synth_smoke_a/market/rerank_k20_6_0.5/mAP" in metrics
    assert "synth_smoke_a/market/mAP" in metrics


def test_the_precision_of_stored_features_retrains_nothing(project: Project) -> None:
    store = project.folder / "embeddings/smoke/bot/synth_smoke_a.npy"
    before = store.stat().st_size
    stale = project.changed()
    with edited(project, "precision: float32", "precision: bfloat16"):
        assert project.changed() - stale == {f"embed@{run}" for run in RUNS}
        ran = set(project.repro("register@bot"))
        assert ran == chain("bot", "embed", "evaluate", "register")
        assert store.stat().st_size < 0.6 * before
        cards = json.loads((project.folder / "results/smoke/bot.card.json").read_text())
    assert cards["synth_smoke_a/market"]["stored_as"] == "bfloat16"


@contextmanager
def edited(project: Project, old: str, new: str) -> Iterator[None]:
    """Change the study for a while, for one run: all that is changed for the others is put back."""
    project.edit("params/study.yaml", old, new)
    try:
        yield
    finally:
        project.edit("params/study.yaml", new, old)


def test_one_recipe_reruns_one_chain(project: Project) -> None:
    recipe = "params/methods/bot/smoke.yaml"
    text = (project.folder / recipe).read_text()
    rate = re.search(r"learning_rate: [\d.]+", text)
    assert rate is not None
    project.edit(recipe, rate.group(), "learning_rate: 0.0007")
    # the other runs have neither another recipe nor, by now, another study
    ran = set(project.repro())
    assert ran == chain("bot", "train", "embed", "evaluate", "register") | {"compare"}
