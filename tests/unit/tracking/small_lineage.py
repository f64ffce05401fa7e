"""A git repository with a study and a lock file, and the lineage that is collected there."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from reid.study import load_study
from reid.tracking.digest import dvc_md5
from reid.tracking.provenance import collect_provenance

STUDY = """\
# a comment
study: small
seed: 3
datasets:
  world:
    made_from: reid/paint.py
    compared_with: data/world
    source: {reader: synthetic, size: smoke, seed: 1}
    suite: person
    protocols: [market]
pretrainings: {}
runs:
  bot: {method: bot, recipe: params/bot.yaml, starts_from: reid, train: world, test: world,
        transfer: world, overrides: {}}
shortlists: {}
embeddings: {precision: float32}
evaluation: {rerank: {k1: 20, k2: 6, lambda: 0.3}, max_rank: 50, pictures: 2}
registration: {intended_use: Tests.}
"""
KEPT = {
    "reid/paint.py": "paint",
    "reid/train.py": "train",
    "reid/ground.py": "named by no stage",
    "params/bot.yaml": "epochs: 1",
    "params/study.yaml": STUDY,
    ".gitignore": "/data/\n/models/\n/results/\n/registry/\n/.reid/\n/dvc.lock\n",
    ".dvc/config": "[core]\n    analytics = false\n    check_update = false\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
}
MADE = {
    "data/world/1.jpg": "image",
    "models/small/bot/weights": "numbers",
    "results/small/bot.json": "{}",
}
STAGES: dict[str, tuple[list[str], list[str]]] = {
    "data@world": (["reid/paint.py"], ["data/world"]),
    "train@bot": (["data/world", "reid/train.py", "params/bot.yaml"], ["models/small/bot"]),
    "evaluate@bot": (["models/small/bot"], ["results/small/bot.json"]),
}


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def make_project(folder: Path) -> Path:
    """Write a repository with one commit in which three stages have run."""
    for name, text in {**KEPT, **MADE}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    study = yaml.safe_load(STUDY)
    params = {"params/study.yaml": {"seed": study["seed"], "runs.bot": study["runs"]["bot"]}}
    stages = {
        name: {
            "cmd": f"reid {name}",
            "deps": [{"path": path, "md5": dvc_md5(folder / path)} for path in deps],
            "outs": [{"path": path, "md5": dvc_md5(folder / path)} for path in outs],
            "params": params,
        }
        for name, (deps, outs) in STAGES.items()
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def lineage_of(folder: Path, **changes: Any) -> dict[str, Any]:
    """Return what a registration in `folder` would keep, as far as these tests need it."""
    commit = git(folder, "rev-parse", "HEAD")
    own = {"study": "small", "run": "bot", "method": "bot", "git_commit": commit}
    terms = {"licence": "CC0", "status": "open", "consent": "synthetic"}
    found = collect_provenance(load_study(folder / "params/study.yaml"), "bot", folder)
    return {**own, **terms, **found, **changes}
