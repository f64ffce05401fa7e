"""From a registered model back to raw files, and its numbers once more in another clone."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.pipeline.conftest import Project, copy_project

BOT = ["data@synth_smoke_a", "embed@bot", "evaluate@bot", "train@bot", "validate@synth_smoke_a"]


def test_the_lineage_of_a_reproduced_run_is_that_of_dvc(reproduced: Project) -> None:
    record = json.loads(reproduced.run("reid", "lineage", "bot", "--json").stdout)
    lineage = record["lineage"]
    assert sorted(lineage["stages"]) == BOT
    assert {stage["state"] for stage in lineage["stages"].values()} == {"run by dvc"}
    world = lineage["stages"]["data@synth_smoke_a"]["outs"]["data/synth_smoke_a"]
    assert lineage["model_md5"] == lineage["stages"]["train@bot"]["outs"]["models/smoke/bot"]
    assert lineage["datasets"]["synth_smoke_a"]["consent"] == "synthetic"

    uri = f"sqlite:///{reproduced.folder / 'mlruns/mlflow.db'}"
    version = MlflowClient(uri, uri).get_model_version(record["name"], str(record["version"]))
    assert version.tags["dvc.data/synth_smoke_a"] == world
    assert version.tags["dvc.state"] == "all run by dvc"
    assert f"| dvc.data/synth_smoke_a | {world} |" in version.description

    said = reproduced.run("reid", "lineage", f"{record['name']}/{record['version']}").stdout
    assert f"writes data/synth_smoke_a {world[:10]}.dir" in said
    assert "generated, no real person shown" in said


def test_a_pretrained_parent_is_part_of_the_chain(reproduced: Project) -> None:
    record = json.loads((reproduced.folder / "registry/smoke/personvit.json").read_text())
    stages = record["lineage"]["stages"]
    assert "pretrain@personvit" in stages["train@personvit"]["follows"]
    assert "data@synth_smoke_pretrain" in stages["pretrain@personvit"]["follows"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_another_clone_comes_to_the_same_bits(tmp_path: Path) -> None:
    """The registered tree was dirty; the clone has no data, and the record or the store alone."""
    first = copy_project(tmp_path / "first")
    shutil.copy(first.folder / "params/studies/demo.yaml", first.folder / "params/study.yaml")
    commit(first)
    first.run("reid", "study", "use", "smoke")
    with (first.folder / "reid/progress.py").open("a") as file:
        file.write("\n\nCHANGED = True\n")
    first.repro("register@bot")
    record = first.folder / "registry/smoke/bot.json"
    patch = json.loads(record.read_text())["lineage"]["source"]["patch"]
    assert "+CHANGED = True" in patch
    assert list((first.folder / "mlruns/artifacts").rglob("source/uncommitted.patch"))

    first.run("git", "clone", "--quiet", str(first.folder), str(tmp_path / "second"))
    second = Project(tmp_path / "second")
    known = json.loads(record.read_text())
    done = second.run("reid", "reproduce", str(record))
    last = f"all {len(known['metrics'])} metrics are equal to the last bit"
    assert done.stdout.rstrip().endswith(last)
    assert "> reid train bot" in done.stdout
    worktree = second.folder / ".reid/reproduce/smoke.synth_smoke_a-v1"
    found = json.loads((worktree / "results/smoke/bot.json").read_text())
    assert found == known["metrics"]
    assert (worktree / "reid/progress.py").read_text().endswith("CHANGED = True\n")
    assert not (second.folder / "models").exists()

    # a version of the store: the same worktree goes on, and has nothing left to run
    second.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{first.folder / 'mlruns/mlflow.db'}"
    again = second.run("reid", "reproduce", "smoke.synth_smoke_a/1")
    assert "> reid" not in again.stdout
    assert again.stdout.rstrip().endswith(last)

    known["metrics"]["synth_smoke_a/market/mAP"] += 2**-50
    (tmp_path / "other.json").write_text(json.dumps(known))
    other = second.run("reid", "reproduce", str(tmp_path / "other.json"), check=False)
    assert other.returncode == 11
    assert "error: 1 of " in other.stderr


def commit(project: Project) -> None:
    project.run("git", "add", ".")
    who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
    project.run("git", *who, "commit", "--quiet", "-m", "first")
