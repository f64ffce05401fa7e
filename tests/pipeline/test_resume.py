"""A training that is killed goes on where it was, and ends in the same bits."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from tests.pipeline.conftest import copy_project, wait_for_checkpoint


@pytest.mark.parametrize("run", ["transreid", pytest.param("reidmamba", marks=pytest.mark.slow)])
def test_kill_mid_epoch_then_repro_ends_in_the_same_bits(tmp_path: Path, run: str) -> None:
    """The unbroken run and the killed one start from the same data and end bit-equal."""
    project = copy_project(tmp_path / "killed")
    recipe = f"params/methods/{run}/smoke.yaml"
    stage, model = f"train@{run}", f"models/smoke/{run}"
    text = (project.folder / recipe).read_text()
    epochs = re.search(r"epochs: \d+", text)
    assert epochs is not None
    project.edit(recipe, epochs.group(), "epochs: 12")
    project.repro("validate@synth_smoke_a")

    process = subprocess.Popen(
        ["dvc", "repro", stage],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    checkpoint = wait_for_checkpoint(project.folder / ".reid/checkpoints")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not (project.folder / model).exists()

    assert project.repro(stage) == [stage]
    resumed = load_file(project.folder / model / "model.safetensors")
    project.run("dvc", "repro", "--force", "--single-item", stage)
    unbroken = load_file(project.folder / model / "model.safetensors")
    assert resumed.keys() == unbroken.keys()
    assert all((resumed[key] == unbroken[key]).all() for key in resumed)
