"""The file of a suite: what it expects of the data, how severely, and what to do about it.

The file in `params/validation/` is what runs, and where a threshold is changed. The functions here
write that file anew on request, and read it.
"""

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from reid.errors import ParamsError
from reid.files import write_whole
from reid.params import nearest
from reid.validation.kinds import KINDS
from reid.validation.rules import STORED_AS, TABLES


def load_great_expectations() -> ModuleType:
    """Import the library, which takes seconds, with telemetry off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    module: ModuleType = great_expectations
    return module


def rebuild_suite(name: str, folder: Path) -> Path:
    """Write the file of a suite anew.

    Args:
        name: Name of the suite, a key of `KINDS`.
        folder: Where the suites lie.

    Raises:
        ParamsError: There is no such suite.
    """
    if name not in KINDS:
        raise ParamsError(
            f"suite '{name}'{nearest(name, KINDS)}",
            f"one of {', '.join(KINDS)}",
            "Correct the name.",
        )
    path = folder / f"{name}.json"
    content = {"name": name, "expectations": [rule.to_json() for rule in KINDS[name]()]}
    write_whole(path, json.dumps(content, indent=2) + "\n")
    return path


def read_suite(path: Path) -> dict[str, Any]:
    """Read a suite file.

    Returns:
        `name`, and `expectations` as Great Expectations stores them.

    Raises:
        ParamsError: The file is missing, is not JSON, or an expectation is incomplete.
    """
    remedy = "Write it anew with `reid suite rebuild`."
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file", "an expectation suite", remedy) from None
    except ValueError as error:
        raise ParamsError(f"{path}: not valid JSON ({error})", "a suite", remedy) from None
    if not _is_complete(suite):
        expected = "a name, a table, a severity, a description and a remedy for each expectation"
        raise ParamsError(f"{path}: incomplete", expected, remedy)
    return {"name": str(suite["name"]), "expectations": list(suite["expectations"])}


def _is_complete(suite: Any) -> bool:
    """Tell whether a suite has what the report needs beside what the library needs."""
    try:
        return bool(suite["name"]) and all(
            entry["meta"]["table"] in TABLES
            and entry["severity"] in STORED_AS.values()
            and all([entry["meta"]["name"], entry["meta"]["remedy"], entry["description"]])
            for entry in suite["expectations"]
        )
    except (KeyError, TypeError):
        return False
