"""A git worktree in which the stages of a registered model can run again, with its own code."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from reid.errors import DataError, MachineError, ParamsError, RegistryError
from reid.files import write_whole
from reid.study import STUDY_FILE
from reid.tracking.dvc_lock import LOCK_FILE
from reid.tracking.lineage import UNKNOWN
from reid.tracking.provenance import has_commit, run_git


class RecordedCode(NamedTuple):
    """What the sources were.

    Attributes:
        patch: What was changed since the commit; may be empty.
        study: The active study, as text.
    """

    commit: str
    patch: str
    study: str


def recorded_code(lineage: Mapping[str, Any]) -> RecordedCode:
    """Return the code that made a model.

    Where code changed between training and registration, it is the commit of the training.

    Raises:
        RegistryError: Not all of the code was recorded.
    """
    source, trained = lineage["source"], str(lineage["git_commit"])
    if source["commit"] == UNKNOWN:
        raise _lost("there was no git commit", "Commit the sources")
    changed = {path for stage in lineage["stages"].values() for path in stage.get("changed", ())}
    if changed:
        if trained == UNKNOWN or trained.endswith("+dirty"):
            raise _lost(
                f"{', '.join(sorted(changed))} changed after the stages had run, and the training "
                "had uncommitted changes",
                "Commit the sources, run `dvc repro`",
            )
        return RecordedCode(trained, "", source["study"])
    if untracked := [path for path in source["untracked"] if _matters(path, lineage)]:
        raise _lost(f"{', '.join(untracked)} was in no commit", "Commit the sources")
    if source["patch"] is None:
        raise _lost("more than a megabyte of changes was in no commit", "Commit the sources")
    return RecordedCode(source["commit"], source["patch"], source["study"])


def open_worktree(place: Path, note: Path, code: RecordedCode) -> Path:
    """Make a worktree with recorded code, or go on with the one that was made before.

    Args:
        place: Folder of the worktree.
        note: File that remembers what was made there.

    Returns:
        The folder of the project in it.

    Raises:
        ParamsError: Something else is at `place`.
        DataError: The commit is not in this clone, or the changes do not fit it.
    """
    digest = hashlib.sha256("\n".join(code).encode(errors="surrogateescape")).hexdigest()
    wish = {"folder": str(place.resolve()), "commit": code.commit, "digest": digest}
    known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    project = place / run_git(Path(), "rev-parse", "--show-prefix").strip()
    if known == {**wish, "complete": True} and project.is_dir():
        return project
    if place.exists() and known != {**wish, "complete": False}:
        raise ParamsError(
            f"{place} exists, and is another thing",
            "a folder that is not there yet",
            "Choose another with --folder, or remove it: `git worktree remove --force`.",
        )
    if not has_commit(Path(), code.commit):
        raise DataError(
            f"commit {code.commit} is not in this clone",
            "the commit that the model was registered with",
            "Fetch it: `git fetch --all`.",
        )
    write_whole(note, json.dumps({**wish, "complete": False}))
    _make(place, project, code)
    write_whole(note, json.dumps({**wish, "complete": True}))
    return project


def fetch_inputs(project: Path, lineage: Mapping[str, Any], env: Mapping[str, str]) -> None:
    """See to it that all files are there that no stage makes and git does not hold.

    They come from DVC (its cache here, or a remote), or are linked from the present checkout.

    Raises:
        DataError: One cannot be reached from here.
    """
    given = {p: md5 for s in lineage["stages"].values() for p, md5 in s.get("given", {}).items()}
    for path, md5 in given.items():
        target, here = project / path, Path(path)
        if target.exists():
            continue
        if target.with_name(f"{target.name}.dvc").is_file():
            _pull(project, path, env)
        elif here.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # a link that leads nowhere
            target.symlink_to(here.resolve())
        else:
            raise DataError(
                f"{path} (md5 {md5}) is neither in git, nor under DVC, nor in this folder",
                "what the model was made from",
                f"Put it to {path}, or link it there, and repeat the command.",
            )


def stage_environment(project: Path, threads: int) -> dict[str, str]:
    """Return the environment in which `dvc` and `reid` run the code of `project`.

    `PYTHONPATH` comes before an installed `reid`, which may be another checkout. What is logged
    stays in the worktree: a named MLflow server does not get the runs a second time.

    Args:
        threads: Of the recorded training; sums may depend on it in the last bit.

    Raises:
        MachineError: Another `reid` would run all the same.
    """
    programs = str(Path(sys.executable).parent)
    paths = [str(project.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")},
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "DVC_NO_ANALYTICS": "1",
        "OMP_NUM_THREADS": str(threads),
    }
    ask = [sys.executable, "-c", "import reid; print(reid.__file__)"]
    done = subprocess.run(ask, cwd=project, env=env, capture_output=True, text=True, check=False)
    found = Path(done.stdout.strip()).resolve()
    if not found.is_relative_to(project.resolve()) or not shutil.which("reid", path=env["PATH"]):
        raise MachineError(
            f"{found if done.stdout else 'no module reid'} would run in {project}",
            f"`reid` of {project}, started by {sys.executable}",
            "Install the project into this Python: `make install`.",
        )
    return env


def _lost(found: str, remedy: str) -> RegistryError:
    return RegistryError(
        f"cannot be reproduced: {found}",
        "a record of all the code",
        f"{remedy}, and register it again.",
    )


def _matters(path: str, lineage: Mapping[str, Any]) -> bool:
    """Tell whether a stage may have read a new file: all code, but only some parameter files."""
    given = {path for stage in lineage["stages"].values() for path in stage.get("given", ())}
    return not path.startswith("params/") or any(f"{path}/".startswith(f"{g}/") for g in given)


def _make(place: Path, project: Path, code: RecordedCode) -> None:
    shutil.rmtree(place, ignore_errors=True)
    _git(Path(), "worktree", "prune")
    # no hooks: the one of `dvc install` would check out all data
    hooks = f"core.hooksPath={os.devnull}"
    _git(Path(), "-c", hooks, "worktree", "add", "--detach", str(place.resolve()), code.commit)
    if code.patch:
        _git(project, "apply", "--whitespace=nowarn", "-", given=code.patch)
    write_whole(project / STUDY_FILE, code.study)
    # else DVC would take from its cache what it names
    (project / LOCK_FILE).unlink(missing_ok=True)
    _share_cache(project)


def _share_cache(project: Path) -> None:
    """Give the worktree the files of this checkout's DVC cache, but not its memory of runs.

    Otherwise DVC could bring here what was run there, or there what was run here.
    """
    local = Path(".dvc/config.local")
    if local.is_file():  # remotes, and how to reach them
        shutil.copyfile(local, project / local)
    cache = project.resolve() / ".dvc/cache"
    _dvc(project, dict(os.environ), "config", "--local", "cache.dir", str(cache))
    shared = Path(_dvc(Path(), dict(os.environ), "cache", "dir").strip()) / "files"
    if shared.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "files").symlink_to(shared.resolve())


def _pull(project: Path, path: str, env: Mapping[str, str]) -> None:
    """Bring a file from DVC's cache or, if it is not there, from a remote."""
    try:
        _dvc(project, env, "checkout", f"{path}.dvc")
    except DataError:
        _dvc(project, env, "pull", f"{path}.dvc")


def _dvc(folder: Path, env: Mapping[str, str], *arguments: str) -> str:
    return _output([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=env)


def _git(folder: Path, *arguments: str, given: str = "") -> None:
    _output(["git", *arguments], cwd=folder, given=given)


def _output(
    command: list[str], cwd: Path, env: Mapping[str, str] | None = None, given: str = ""
) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        input=given.encode(errors="surrogateescape"),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        name = " ".join(command[2:] if command[0] == sys.executable else command)
        raise DataError(f"`{name}` failed ({lines[-1]})", "it to work", "Mend what it names.")
    return done.stdout.decode()
