"""Training over several processes as users run it."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
from safetensors.numpy import load_file

from reid.methods.model_directory import load_model
from tests.pipeline.conftest import Project, copy_project, wait_for_checkpoint

MODEL = Path("models/smoke/transreid")
RECIPE = "params/methods/transreid/smoke.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project without data, and a training whose epochs are of one step each.

    AdamW would take a bias in front of a neck, whose gradient is nothing but rounding, for steps of
    full length.
    """
    made = copy_project(tmp_path_factory.mktemp("project"))
    made.edit(RECIPE, "identities: 4, images: 2", "identities: 12, images: 12")
    made.edit(RECIPE, "epochs: 2", "epochs: 10")
    made.edit(RECIPE, "name: adamw, learning_rate: 0.001", "name: sgd, learning_rate: 0.0005")
    return made


@pytest.fixture(scope="module")
def ready(project: Project) -> Project:
    project.repro("validate@synth_smoke_a")
    return project


def trained(project: Project, *options: str) -> tuple[pd.DataFrame, dict[str, object]]:
    project.run("reid", "train", "transreid", *options)
    folder = project.folder / MODEL
    return pd.read_csv(folder / "history.csv"), load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_two_processes_train_as_one(ready: Project) -> None:
    """Ten steps with triplets, necks and random changes of the images."""
    losses, weights = trained(ready)
    ready.env["REID_DEVICES"] = "2"
    shared, others = trained(ready)
    del ready.env["REID_DEVICES"]
    assert len(losses) == 10
    for name in ("loss", "identity", "triplet"):
        assert shared[name].to_numpy() == pytest.approx(losses[name].to_numpy(), abs=1e-5)
    assert others.keys() == weights.keys()
    for name, value in weights.items():
        assert others[name] == pytest.approx(value, abs=1e-4), name
    model = load_model(ready.folder / MODEL)
    assert model.card.world_size == 2
    assert json.loads((ready.folder / MODEL / "card.json").read_text())["world_size"] == 2


def test_processes_that_do_not_divide_a_batch(project: Project) -> None:
    done = project.run("reid", "train", "transreid", "--devices", "5", check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "error: sampler.identities is 12 with 5 processes; expected a multiple of the number of "
        "processes. Train with other --devices and --nodes, or change sampler.identities in the "
        "recipe."
    ]


@pytest.fixture
def training(ready: Project) -> Iterator[subprocess.Popen[bytes]]:
    """A training in two processes that has written a checkpoint, and far to go."""
    ready.edit(RECIPE, "epochs: 10", "epochs: 5000")
    shutil.rmtree(ready.folder / ".reid/checkpoints", ignore_errors=True)
    process = subprocess.Popen(
        ["reid", "train", "transreid", "--devices", "2"],
        cwd=ready.folder,
        env=ready.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for_checkpoint(ready.folder / ".reid/checkpoints")
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        ready.edit(RECIPE, "epochs: 5000", "epochs: 10")


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["first", "other"])
def test_a_process_that_dies_ends_the_others(
    training: subprocess.Popen[bytes], victim: str
) -> None:
    children = psutil.Process(training.pid).children()
    other = next(child for child in children if "train" in child.cmdline())
    os.kill(training.pid if victim == "first" else other.pid, signal.SIGKILL)
    assert training.wait(60) != 0
    assert psutil.wait_procs([other], 60)[1] == []


@pytest.mark.slow
def test_two_processes_that_were_killed_go_on_where_they_were(ready: Project) -> None:
    ready.edit(RECIPE, "epochs: 10", "epochs: 40")
    shutil.rmtree(ready.folder / ".reid/checkpoints", ignore_errors=True)
    command = ["reid", "train", "transreid", "--devices", "2"]
    process = subprocess.Popen(command, cwd=ready.folder, env=ready.env, start_new_session=True)
    checkpoint = wait_for_checkpoint(ready.folder / ".reid/checkpoints")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    said = ready.run(*command).stderr
    assert "epoch 40/40" in said
    assert "epoch 1/40" not in said
    resumed = load_file(ready.folder / MODEL / "model.safetensors")
    _, unbroken = trained(ready, "--devices", "2")
    ready.edit(RECIPE, "epochs: 40", "epochs: 10")
    assert resumed.keys() == unbroken.keys()
    assert all((resumed[key] == unbroken[key]).all() for key in resumed)
