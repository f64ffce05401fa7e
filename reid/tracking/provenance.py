"""What it takes to run a model's stages again: code, study, packages, and what DVC ran."""

import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import torch

from reid.data.manifest import load_meta
from reid.study import STUDY_FILE, Study
from reid.tracking.dvc_lock import LOCK_FILE, RUN_BY_DVC, describe_chain, read_lock
from reid.tracking.lineage import UNKNOWN, git_state, hardware

SOURCES = ("reid", "flows", "params", "dvc.yaml", "pyproject.toml")
LARGEST_PATCH = 1 << 20

SECTIONS = ("stages", "datasets", "source", "environment")
"""Parts of a lineage that are too long for a tag; `condensed` says the gist of them."""

_NOT_KEY = re.compile(r"[^\w\-. :/]")  # MLflow refuses these in the name of a tag
_LONGEST_KEY = 250


def collect_provenance(study: Study, run: str, folder: Path = Path()) -> dict[str, Any]:
    """Collect what leads to a run, from `dvc.lock`, git, the study and this machine.

    Returns:
        Plain values without wall-clock time: `stages` (see `describe_chain`), `datasets` (source
        and terms of each), `source` (see `source_state`) and `environment`.
    """
    stages = describe_chain(read_lock(folder / LOCK_FILE), _stages_of(study, run), folder)
    names = [name.partition("@")[2] for name in stages if name.startswith("data@")]
    return {
        "stages": stages,
        "datasets": {name: _dataset(study, name, folder) for name in names},
        "source": source_state(folder),
        "environment": environment(),
    }


def source_state(folder: Path = Path()) -> dict[str, Any]:
    """Return the code and the study as they are now.

    Returns:
        `commit`, `dirty`; `patch`, what tracked sources differ in from the commit, apart from the
        study, which `study` holds whole; the patch is None where it is larger than a megabyte or
        there is no commit. `untracked` names new files among the sources.
    """
    state = git_state(folder)
    places = ["--", *SOURCES, f":(exclude){STUDY_FILE}"]
    patch, untracked = None, ""
    if state.commit != UNKNOWN:
        changes = ("--binary", "--full-index", "--no-color", "--no-ext-diff", "--no-textconv")
        prefixes = ("--src-prefix=a/", "--dst-prefix=b/")
        patch = run_git(folder, "diff", *changes, *prefixes, "--relative", "HEAD", *places)
        untracked = run_git(folder, "ls-files", "--others", "--exclude-standard", *places)
    fits = patch is not None and len(patch.encode(errors="surrogateescape")) <= LARGEST_PATCH
    return {
        "commit": state.commit,
        "dirty": state.dirty,
        "patch": patch if fits else None,
        "untracked": untracked.splitlines(),
        "study": (folder / STUDY_FILE).read_text(encoding="utf-8"),
    }


def environment() -> dict[str, Any]:
    """Return the Python, the packages that the project asks for, and the machine."""
    return {
        "python": platform.python_version(),
        "packages": _packages(),
        "threads": torch.get_num_threads(),
        **hardware(),
    }


def identity(lineage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a lineage that makes a model another one.

    The same stages may be found in several commits and run on several machines; and what was made
    on the way holds times.
    """
    stages = {
        name: {key: stage.get(key) for key in ("state", "command", "given", "params")}
        for name, stage in lineage.get("stages", {}).items()
    }
    own = {key: value for key, value in lineage.items() if key not in SECTIONS}
    return {**own, "stages": stages, "datasets": lineage.get("datasets", {})}


def condensed(lineage: Mapping[str, Any]) -> dict[str, str]:
    """Return the gist of a provenance as tags, within MLflow's limits on names.

    `dvc.<path>` is the digest of each data set, pretraining and model that the run comes from.
    """
    stages: Mapping[str, Mapping[str, Any]] = lineage.get("stages", {})
    if not stages:
        return {}
    kept = {
        path: md5
        for name, stage in stages.items()
        if name.startswith(("data@", "pretrain@", "train@"))
        for path, md5 in stage.get("outs", {}).items()
    }
    tags = {_NOT_KEY.sub("-", f"dvc.{path}")[:_LONGEST_KEY]: md5 for path, md5 in kept.items()}
    source = lineage["source"]
    return {
        **tags,
        "dvc.state": state_of(stages),
        "source.commit": source["commit"],
        "source.dirty": str(source["dirty"]).lower(),
        "environment.python": lineage["environment"]["python"],
    }


def state_of(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Say in a few words whether DVC ran all stages as they are recorded."""
    strange = [name for name, stage in stages.items() if stage["state"] != RUN_BY_DVC]
    return f"not run by dvc: {', '.join(strange)}" if strange else f"all {RUN_BY_DVC}"


def has_commit(folder: Path, commit: str) -> bool:
    """Tell whether the repository that holds `folder` knows a commit."""
    command = ["git", "-C", str(folder), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_git(folder: Path, *arguments: str) -> str:
    """Return what git prints, byte for byte; it must be known to work in this folder."""
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout.decode("utf-8", errors="surrogateescape")


def _stages_of(study: Study, run: str) -> list[str]:
    """Name the stages that every run has, so that one which DVC never ran is missed."""
    entry = study.run(run)
    data = dict.fromkeys((entry.train, *entry.test_sets))
    kinds = [f"{kind}@{run}" for kind in ("train", "embed", "evaluate")]
    return [*kinds, *(f"{kind}@{name}" for kind in ("data", "validate") for name in data)]


def _dataset(study: Study, name: str, folder: Path) -> dict[str, Any]:
    manifest = folder / "data" / name / "manifest.parquet"
    ethics = load_meta(manifest).ethics if manifest.is_file() else None
    entry = study.datasets.get(name)  # none: the gate looked into it, the study does not use it
    return {
        "made_from": str(entry.made_from) if entry else UNKNOWN,
        "source": entry.source.model_dump(mode="json", exclude_none=True) if entry else {},
        "licence": ethics.licence if ethics else UNKNOWN,
        "status": ethics.status if ethics else UNKNOWN,
        "consent": ethics.consent if ethics else UNKNOWN,
    }


def _packages() -> dict[str, str]:
    try:
        wanted: Sequence[str] = requires("reidflow") or ()
    except PackageNotFoundError:  # run from a checkout that was never installed
        wanted = ()
    found = {}
    for line in wanted:
        if "extra ==" in line:
            continue
        name = re.split(r"[^\w.\-]", line, maxsplit=1)[0]
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # for another platform
    return dict(sorted(found.items()))
