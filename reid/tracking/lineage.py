"""Where a run comes from: code, parameters, data terms and machine, as flat MLflow tags."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reid.data.manifest import WITHDRAWN, EthicsRecord

UNKNOWN = "unknown"


class GitState(NamedTuple):
    """The commit of the working tree, and whether tracked or new files differ from it."""

    commit: str
    dirty: bool


def git_state(folder: Path = Path()) -> GitState:
    """Return the commit of the working tree that holds `folder`.

    `dvc.lock` does not count as a change: DVC writes it between the stages of one reproduction.

    Returns:
        The commit, or `unknown` and dirty where there is no git, no work tree or no commit.
    """
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    changes = _git(folder, "status", "--porcelain", "--", ":(top)", ":(top,exclude)dvc.lock")
    if commit is None or changes is None:
        return GitState(UNKNOWN, True)
    return GitState(commit, bool(changes))


def hardware() -> dict[str, str]:
    """Return the processor, its usable cores and the accelerator of this machine as tags."""
    import torch

    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"hardware.cpu": _cpu_model(), "hardware.cores": str(cores), "hardware.gpu": gpu}


def backend_tags(chosen: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """Return what computes each part of a network as tags.

    Tags and not parameters: a run may go on where another backend is the best.

    Args:
        chosen: Part, such as `scan`, to the name of its backend and why it was taken.
    """
    tags: dict[str, str] = {}
    for part, (name, reason) in chosen.items():
        tags |= {f"backend.{part}": name, f"backend.{part}.reason": reason}
    return tags


def params_hash(params: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a parameter tree, independent of the order of its keys."""
    text = json.dumps(params, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def ethics_tags(ethics: EthicsRecord | None) -> dict[str, str]:
    """Return the terms of the training data as tags; `unknown` where nobody stated them."""
    if ethics is None:
        return dict.fromkeys(("data.licence", "data.status", "data.consent"), UNKNOWN)
    tags = {
        "data.licence": ethics.licence,
        "data.status": ethics.status,
        "data.consent": ethics.consent,
    }
    if ethics.status == WITHDRAWN:
        tags["data.ethics"] = "withdrawn"
        tags["data.acknowledged_by"] = ethics.acknowledged_by
    return tags


def lineage_tags(
    *,
    study: str,
    method: str,
    stage: str,
    params: Mapping[str, Any],
    ethics: EthicsRecord | None,
    folder: Path = Path(),
) -> dict[str, str]:
    """Collect the tags that say where a run comes from.

    Args:
        stage: The DVC stage, such as `train@bot`.
        params: Everything that decides the result beside code and data; it enters as a hash.
        ethics: Terms of the training data.
        folder: Any folder of the working tree.
    """
    state = git_state(folder)
    return {
        "study": study,
        "method": method,
        "dvc.stage": stage,
        "params.hash": params_hash(params),
        "git.commit": state.commit,
        "git.dirty": str(state.dirty).lower(),
        "mlflow.source.git.commit": state.commit,  # the name that the MLflow page shows
        **ethics_tags(ethics),
        **hardware(),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, or None where git is missing or refuses."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or UNKNOWN
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or UNKNOWN
