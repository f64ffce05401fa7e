"""What DVC ran to make a result: the chain of stages, as `dvc.lock` holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.params import read_yaml
from reid.tracking.digest import dvc_md5

LOCK_FILE = Path("dvc.lock")
RUN_BY_DVC = "run by dvc"
NOT_RUN_BY_DVC = "not run by dvc"
# What is larger is taken as DVC recorded it: hashing a data set again would take minutes.
LARGEST_BYTES = 256 << 20
MOST_FILES = 5000


@dataclass(frozen=True)
class LockedStage:
    """A stage as DVC last ran it.

    Attributes:
        command: What was run.
        deps: Path to the digest of what was read.
        outs: Path to the digest of what was written.
        params: Parameter file to its values, by keys joined with dots.
    """

    command: str
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    params: Mapping[str, Mapping[str, Any]]


def read_lock(path: Path = LOCK_FILE) -> dict[str, LockedStage]:
    """Return the stages of a `dvc.lock` by name; none where there is no such file.

    Raises:
        ParamsError: The file is not YAML.
    """
    if not path.is_file():
        return {}
    stages = read_yaml(path).get("stages") or {}
    return {
        name: LockedStage(
            str(entry["cmd"]),
            _digests(entry.get("deps")),
            _digests(entry.get("outs")),
            entry.get("params") or {},
        )
        for name, entry in stages.items()
    }


def chain(stages: Mapping[str, LockedStage], wanted: Sequence[str]) -> list[str]:
    """Return the wanted stages and all that they follow from, each after its inputs.

    A wanted stage that DVC never ran is in the list too.
    """
    order: list[str] = []
    begun: set[str] = set()

    def visit(name: str) -> None:
        if name in begun:
            return
        begun.add(name)
        for before in producers(stages, name):
            visit(before)
        order.append(name)

    for name in sorted(wanted):
        visit(name)
    return order


def producers(stages: Mapping[str, LockedStage], name: str) -> list[str]:
    """Return the stages whose outputs a stage reads, in the order of their names."""
    if name not in stages:
        return []
    found: set[str] = set()
    for path, md5 in stages[name].deps.items():
        found.update(_producers_of(stages, path, md5))
    return sorted(found - {name})


def describe_chain(
    stages: Mapping[str, LockedStage], wanted: Sequence[str], folder: Path = Path()
) -> dict[str, dict[str, Any]]:
    """Describe the chain that led to the wanted stages, in plain values.

    Args:
        stages: What `read_lock` returned.
        wanted: Stages such as `train@bot`.
        folder: The project; what lies there is compared with what DVC recorded.

    Returns:
        Stage to `state` (`run by dvc`, or `not run by dvc: <why>`) and, where DVC ran it, to
        `command`, `follows` (stages), `read` and `outs` (path to digest, of what stages made),
        `given` (the same for all other inputs: code, recipes, raw files), `params`, and `changed`,
        which of the given are different now.
    """
    disk = Disk(folder)
    return {name: _describe(stages, name, disk) for name in chain(stages, wanted)}


class Disk:
    """The digests of what lies in a project; each path is hashed once."""

    def __init__(self, folder: Path = Path()) -> None:
        self._folder = folder
        self._digests: dict[str, str] = {}

    def digest(self, path: str) -> str:
        """Return DVC's digest of a path; an empty text where it is large or away."""
        if path not in self._digests:
            place = self._folder / path
            self._digests[path] = dvc_md5(place) if place.exists() and _is_small(place) else ""
        return self._digests[path]

    def different(self, recorded: Mapping[str, str]) -> list[str]:
        """Return the paths with another content; not what is away or large."""
        found = {path: self.digest(path) for path, md5 in recorded.items() if md5}
        return [path for path, md5 in found.items() if md5 and md5 != recorded[path]]


def _describe(stages: Mapping[str, LockedStage], name: str, disk: Disk) -> dict[str, Any]:
    if name not in stages:
        return {"state": f"{NOT_RUN_BY_DVC}: dvc.lock has no such stage"}
    stage = stages[name]
    read = {path: md5 for path, md5 in stage.deps.items() if any(_producers_of(stages, path, md5))}
    given = {path: md5 for path, md5 in stage.deps.items() if path not in read}
    state = RUN_BY_DVC
    if written := disk.different(stage.outs):
        state = f"{NOT_RUN_BY_DVC}: {', '.join(written)} is not what DVC recorded"
    elif stale := disk.different(read):
        state = f"{NOT_RUN_BY_DVC}: {', '.join(stale)} changed after it ran"
    return {
        "state": state,
        "command": stage.command,
        "follows": producers(stages, name),
        "read": read,
        "given": given,
        "outs": dict(stage.outs),
        "params": {file: dict(values) for file, values in stage.params.items()},
        "changed": disk.different(given),
    }


def _digests(entries: Sequence[Mapping[str, Any]] | None) -> dict[str, str]:
    return {str(entry["path"]): str(entry.get("md5", "")) for entry in entries or ()}


def _is_small(place: Path) -> bool:
    files = (file for file in place.rglob("*") if file.is_file()) if place.is_dir() else (place,)
    size = 0
    for number, file in enumerate(files):
        size += file.stat().st_size
        if number == MOST_FILES or size > LARGEST_BYTES:
            return False
    return True


def _producers_of(stages: Mapping[str, LockedStage], path: str, md5: str) -> list[str]:
    exact = {name: stage.outs[path] for name, stage in stages.items() if path in stage.outs}
    if exact:  # a renamed stage leaves its old entry behind
        return [name for name, digest in exact.items() if digest == md5] or list(exact)
    return [name for name, stage in stages.items() if any(_overlap(path, o) for o in stage.outs)]


def _overlap(first: str, second: str) -> bool:
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")
