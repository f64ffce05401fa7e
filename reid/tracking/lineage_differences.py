"""What of a model's lineage is different in the present checkout."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.params import read_yaml
from reid.study import STUDY_FILE
from reid.tracking.dvc_lock import Disk
from reid.tracking.lineage import UNKNOWN, git_state
from reid.tracking.provenance import environment, has_commit, run_git
from reid.tracking.run import flatten

MISSING = "missing"

Pairs = dict[str, tuple[str, str]]
"""Name to what was then and what is now."""


@dataclass(frozen=True)
class Differences:
    """Then and now, whatever is not the same.

    Args:
        commit: The commits, with `+changes` where there were some.
        code: Inputs of the stages that no stage made, such as code: the digests.
        code_stat: What git says of them, a file in each line; empty without the commit.
        params: Values that the stages read; of another study only its name.
        made: Data, features, models and results on disk: the digests. What is away is no
            difference.
        environment: Versions of packages, and the machine.
    """

    commit: Pairs
    code: Pairs
    code_stat: tuple[str, ...]
    params: Pairs
    made: Pairs
    environment: Pairs

    def __bool__(self) -> bool:
        parts = (self.commit, self.code, self.params, self.made, self.environment)
        return any(parts)


def find_differences(lineage: Mapping[str, Any], folder: Path = Path()) -> Differences:
    """Compare a lineage with what is in `folder` now."""
    stages = lineage["stages"].values()
    disk = Disk(folder)
    given = _joined(stages, "given")
    return Differences(
        commit=_commits(lineage, folder),
        code=_digests(given, disk),
        code_stat=_stat(lineage["source"]["commit"], list(given), folder),
        params=_params(lineage, folder),
        made=_digests(_joined(stages, "outs") | _joined(stages, "read"), disk),
        environment=environment_differences(lineage),
    )


def environment_differences(lineage: Mapping[str, Any]) -> Pairs:
    """Compare packages, Python and machine with those that a model was registered with."""
    then, now = (dict(flatten(facts)) for facts in (lineage["environment"], environment()))
    return _pairs(then, now)


def _joined(stages: Any, key: str) -> dict[str, str]:
    return {path: md5 for stage in stages for path, md5 in stage.get(key, {}).items()}


def _commits(lineage: Mapping[str, Any], folder: Path) -> Pairs:
    source, state = lineage["source"], git_state(folder)
    then, now = (
        f"{commit}{'+changes' if dirty else ''}"
        for commit, dirty in ((source["commit"], source["dirty"]), state)
    )
    return {} if then == now else {"commit": (then, now)}


def _digests(recorded: Mapping[str, str], disk: Disk) -> Pairs:
    return {path: (recorded[path], disk.digest(path)) for path in disk.different(recorded)}


def _stat(commit: str, paths: list[str], folder: Path) -> tuple[str, ...]:
    if commit == UNKNOWN or not has_commit(folder, commit):
        return ()
    inside = [path for path in paths if not Path(path).is_absolute()]
    stat = run_git(folder, "diff", "--stat=100", "--relative", commit, "--", *inside)
    return tuple(line.strip() for line in stat.splitlines())


def _params(lineage: Mapping[str, Any], folder: Path) -> Pairs:
    study = read_yaml(folder / STUDY_FILE)
    if study.get("study") != lineage["study"]:
        return {"study": (str(lineage["study"]), str(study.get("study")))}
    then: dict[str, Any] = {}
    now: dict[str, Any] = {}
    for file, key, value in _recorded_params(lineage):
        present = _value(read_yaml(folder / file), key) if (folder / file).is_file() else MISSING
        for tree, found in ((then, value), (now, present)):
            tree |= flatten({key: found})
    return _pairs(then, now)


def _recorded_params(lineage: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for stage in lineage["stages"].values():
        for file, values in stage.get("params", {}).items():
            for key, value in values.items():
                yield file, key, value


def _value(tree: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(tree, Mapping) or part not in tree:
            return MISSING
        tree = tree[part]
    return tree


def _pairs(then: Mapping[str, Any], now: Mapping[str, Any]) -> Pairs:
    both = {
        key: (str(then.get(key, MISSING)), str(now.get(key, MISSING)))
        for key in sorted({*then, *now})
    }
    return {key: pair for key, pair in both.items() if pair[0] != pair[1]}
