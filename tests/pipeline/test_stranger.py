"""Somebody who knows MLflow alone asks which model is best, and where it comes from."""

import json
import re
import sys

from mlflow import MlflowClient

from reid.data.manifest import Manifest
from tests.pipeline.conftest import ROOT, Project

NAME, TEST = "smoke.synth_smoke_a", "synth_smoke_a/market"


def readme_script() -> str:
    """Return the Python example of the chapter about the registry, as it is printed there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    chapter = text[text.index("## Registry") :]
    found = re.search(r"```python\n(.*?)```", chapter, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_a_stranger_learns_which_model_is_best(reproduced: Project) -> None:
    done = reproduced.run(sys.executable, "-c", readme_script(), NAME, TEST)
    lines = [line for line in done.stdout.splitlines() if ": " in line]
    answers = dict(line.split(": ", 1) for line in lines)

    results = {
        path.stem: json.loads(path.read_text())
        for path in (reproduced.folder / "results/smoke").glob("*.json")
        if not path.name.endswith(".card.json")
    }
    scores = {run: found[f"{TEST}/mAP"] for run, found in results.items() if f"{TEST}/mAP" in found}
    best = max(scores, key=lambda run: scores[run])
    assert len(scores) == 5
    assert answers["best model"] == f"{best} {scores[best]}"

    manifest = Manifest.load(reproduced.folder / "data/synth_smoke_a/manifest.parquet")
    assert answers["trained on"] == f"synth_smoke_a {manifest.digest}"
    measured_on, digest = answers["measured on"].split()
    assert measured_on == "synth_smoke_a"
    assert len(digest) >= 32
    assert manifest.digest.startswith(digest)

    card = json.loads((reproduced.folder / f"models/smoke/{best}/card.json").read_text())
    commit = reproduced.run("git", "rev-parse", "HEAD").stdout.strip()
    assert answers["git commit"] == card["git_commit"]
    assert answers["git commit"].removesuffix("+dirty") == commit
    assert answers["licence"] == card["licence"] != ""
    assert (answers["parent"] == "none") == (not card["parents"])


def test_a_stranger_finds_the_parent_and_no_champion(reproduced: Project) -> None:
    uri = f"sqlite:///{reproduced.folder / 'mlruns/mlflow.db'}"
    client = MlflowClient(uri, uri)
    (tuned,) = client.search_model_versions(f"name='{NAME}' and tags.run = 'personvit'")
    backbone = client.get_logged_model(tuned.tags["parent_model_id"])
    assert backbone.name == "personvit-backbone"
    assert {alias.split("-")[0] for alias in client.get_registered_model(NAME).aliases} == {
        "challenger"
    }
