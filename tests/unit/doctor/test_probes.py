"""The probes on this machine, and on one where something is missing or wrong."""

import math
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from reid.doctor import machine, project, scans, software, trials
from reid.doctor.finding import Finding
from reid.nn.scan.inputs import ScanInputs


def named(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_this_machine_works() -> None:
    found = named(machine.findings())
    assert found["python"].text.startswith(".".join(map(str, sys.version_info[:3])))
    assert found["torch"].figures["version"] == torch.__version__
    assert all(finding.state != "broken" for finding in found.values())
    assert all(finding.remedy for finding in found.values() if finding.state == "absent")


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=2**28)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    disk = named(machine.findings())["disk"]
    assert disk.state == "broken"
    assert disk.text == "0.25 GiB free in this folder, at least 1 expected"


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "NEEDED", ("timm", "no-such-package"))
    found = named(software.findings())
    assert found["timm"].state == "works"
    lost = found["no-such-package"]
    assert (lost.state, lost.text, lost.remedy) == (
        "broken",
        "not installed",
        "Run `make install`.",
    )


def test_programs_off_the_path_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = named(project.findings())
    assert (found["git"].state, found["dvc"].state) == ("broken", "absent")
    assert found["MLflow store"].text == "none yet: the first run makes mlruns/mlflow.db"
    assert not list(tmp_path.iterdir())  # looking changes nothing


def test_a_server_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    store = named(project.findings())["MLflow store"]
    assert store.state == "broken"
    assert "\n" not in store.text


def test_trials_are_right_and_timed() -> None:
    found = named(trials.findings())
    assert not [finding for finding in found.values() if finding.state == "broken"]
    assert {"fp32_gflops", "bf16_gflops"} == set(found["matrix product (cpu)"].figures)
    assert found["numba"].text.startswith("compiles in ")


def test_a_wrong_product_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    right = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: right(a, b) + math.nan)
    found = named(trials.findings())["matrix product (cpu)"]
    assert (found.state, found.text) == (
        "broken",
        "the result is wrong by nan of its largest value",
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "CHANNELS", 8)
    monkeypatch.setattr(scans, "STEPS", 6)


@pytest.mark.usefixtures("small")
def test_every_scan_is_listed_and_exact() -> None:
    found = named(scans.findings())
    for finding in found.values():
        if "error" in finding.figures:
            assert finding.figures["error"] < 1e-5
    assert found["reference (cpu)"].state == "works"
    assert found["auto (cpu)"].figures["name"] in scans.BACKENDS
    assert {"cuda (cuda)", "native (cpu)", "torch (cpu)"} <= set(found)


@pytest.mark.usefixtures("small")
def test_a_wrong_scan_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
        used = [x for x in inputs if isinstance(x, Tensor)]
        total = torch.stack([x.sum() for x in used]).sum()
        return inputs.u + total, inputs.u[..., :1].detach()

    monkeypatch.setitem(sys.modules, "wrong_scan", SimpleNamespace(scan=wrong))  # type: ignore[arg-type]
    monkeypatch.setitem(scans.BACKENDS, "torch", "wrong_scan")
    found = named(scans.findings())["torch (cpu)"]
    assert found.state == "broken"
    assert found.text.endswith("against float64")
