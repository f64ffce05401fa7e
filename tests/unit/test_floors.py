"""The floors of the house: imports go downwards only, and each tool has one importer."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = [
    {
        "compiled",
        "errors",
        "files",
        "progress",
        "params",
        "recipe",
        "study",
        "study_evaluation",
        "workers",
    },
    {"data"},
    {"losses"},
    {"nn"},
    {"retrieval"},
    {"pretrain"},
    {"methods"},
    {"report"},
    {"training"},
    {"validation"},
    {"tracking"},
    {"doctor"},
    {"stages"},
    {"cli_data"},
    {
        "cli_doctor",
        "cli_evaluate",
        "cli_explain",
        "cli_lineage",
        "cli_pretrain",
        "cli_registry",
        "cli_services",
        "cli_tracking",
        "cli_train",
    },
    {"cli"},
]
"""From the ground up; rooms of one floor may import each other only on the ground floor."""

ONLY_IMPORTER = {"mlflow": "tracking", "great_expectations": "validation", "lightning": "training"}
SIDE_BY_SIDE = {"report", "training", "validation", "tracking"}
FILES = sorted((ROOT / "reid").rglob("*.py"))


@cache
def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(path: Path) -> str:
    parts = path.relative_to(ROOT / "reid").with_suffix("").parts
    return parts[0]


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "reid" and len(parts) > 1 and not parts[1].startswith("_"):
            there = parts[1]
            assert there == here or floor(there) < floor(here) or floor(here) == 0, name
            if here in SIDE_BY_SIDE:
                assert there not in SIDE_BY_SIDE - {here}, name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_tools_have_one_importer(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"prefect", "dvc"}
    for tool, owner in ONLY_IMPORTER.items():
        assert tool not in tops or room(path) == owner, f"{path} imports {tool}"


def test_flows_touch_neither_tensors_nor_images() -> None:
    for path in (ROOT / "flows").rglob("*.py"):
        tops = {name.split(".")[0] for name in imported(path)}
        assert not tops & {"torch", "numpy", "PIL", "lightning", "timm"}, path


def test_the_command_line_imports_nothing_heavy() -> None:
    heavy = ("numpy", "torch", "pandas", "yaml", "pydantic", "rich")
    code = f"import sys, reid.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
