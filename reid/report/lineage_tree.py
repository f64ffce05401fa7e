"""The lineage of a model as a tree: from the version back to raw files."""

from collections.abc import Mapping
from typing import Any

from rich.text import Text
from rich.tree import Tree

SHORT = 10


def short(digest: str) -> str:
    """Shorten a digest or a commit, keeping what is said after it."""
    head, mark, tail = digest.partition("+" if "+" in digest else ".")
    return f"{head[:SHORT]}{mark}{tail}"


def lineage_tree(title: str, lineage: Mapping[str, Any]) -> Tree:
    """Lay out a lineage; a stage that several others follow from is shown whole only once.

    Args:
        title: Name and version.
        lineage: As the registry keeps it, with `stages` and `datasets`.
    """
    tree = Tree(Text(title, "bold"))
    tree.add(f"run {lineage['run']} of study {lineage['study']}, method {lineage['method']}")
    source = lineage["source"]
    changes = ", with uncommitted changes" if source["dirty"] else ""
    tree.add(f"code {short(source['commit'])}{changes}; trained at {short(lineage['git_commit'])}")
    tree.add(
        f"licence {lineage['licence']}; status {lineage['status']}; consent {lineage['consent']}"
    )
    stages = lineage["stages"]
    followed = {before for stage in stages.values() for before in stage.get("follows", ())}
    shown: set[str] = set()
    for name in stages:
        if name not in followed:
            _add_stage(tree, name, lineage, shown)
    return tree


def _add_stage(tree: Tree, name: str, lineage: Mapping[str, Any], shown: set[str]) -> None:
    stage = lineage["stages"][name]
    head = Text(name, "bold cyan")
    if name in shown:
        tree.add(head.append(" (see above)", "dim not bold"))
        return
    shown.add(name)
    ran = stage["state"] == "run by dvc"
    head.append(f"  {stage['state']}", "green not bold" if ran else "bold red")
    branch = tree.add(head)
    for path, digest in stage.get("outs", {}).items():
        branch.add(f"writes {path} {short(digest)}")
    for path, digest in stage.get("given", {}).items():
        changed = " (changed before it was registered)" if path in stage["changed"] else ""
        branch.add(f"reads {path} {short(digest)}{changed}")
    if name.startswith("data@") and (facts := lineage["datasets"].get(name.partition("@")[2])):
        branch.add(_source(facts))
    for before in stage.get("follows", ()):
        _add_stage(branch, before, lineage, shown)


def _source(facts: Mapping[str, Any]) -> str:
    source = ", ".join(f"{key} {value}" for key, value in facts["source"].items())
    terms = "; ".join(f"{key} {facts[key]}" for key in ("licence", "status", "consent"))
    return f"made from {facts['made_from']} ({source}); {terms}"
