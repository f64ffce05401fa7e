"""Where the reference packs lie."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def golden_root() -> Path:
    """The folder named by `REID_GOLDEN`; by default the packs beside this file."""
    return Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
