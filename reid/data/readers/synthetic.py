"""Synthetic worlds: the layout of Market-1501, with what only a generator knows beside it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from reid.data.manifest import EthicsRecord
from reid.data.readers.market1501 import find_home, read_market1501
from reid.data.readers.reading import Reading, Row
from reid.errors import DataError

LAYOUT = "synthetic"
WORLD_FILE = "synth.json"
ATTRIBUTES_FILE = "synth_attributes.json"
ETHICS = EthicsRecord(licence="generated, no real person shown", status="open", consent="synthetic")

_REMEDY = "Generate the world again with `reid data build`."


def read_synthetic(root: Path) -> Reading:
    """Read a synthetic world.

    Args:
        root: The folder that holds `synth.json`, or the one above it.

    Raises:
        DataError: The layout or one of the generator's two files is missing or damaged, or an
            image is not among the attributes.
    """
    home = find_home(root)
    reading = read_market1501(root)
    world = _read_json(root / home / WORLD_FILE)
    attributes = _read_json(root / home / ATTRIBUTES_FILE)
    return replace(
        reading,
        layout=LAYOUT,
        benchmark=None,
        rows=tuple(_with_attributes(row, attributes, home) for row in reading.rows),
        camera_count=_camera_count(world, root),
        ethics=ETHICS,
        generator=world,
    )


def _camera_count(world: dict[str, Any], root: Path) -> int:
    try:
        return int(world["counts"]["cameras"])
    except (KeyError, TypeError):
        found = f"{root}: {WORLD_FILE} lacks counts.cameras"
        raise DataError(found, "the number of cameras", _REMEDY) from None


def _with_attributes(row: Row, attributes: dict[str, Any], home: str) -> Row:
    known = attributes.get(row.path.removeprefix(home))
    if known is None:
        raise DataError(
            f"{row.path}: not among the attributes of the world",
            f"every image in {ATTRIBUTES_FILE}",
            "Generate the world again, or remove the image.",
        )
    return replace(
        row,
        viewid=known["view"],
        occluded=known["occluded"],
        occ_fraction=known["occ_fraction"],
        track_id=str(known["track"]),
        timestamp=known["time"],
        attrs=json.dumps(known["attrs"], sort_keys=True) if known["attrs"] else None,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "a synthetic world", _REMEDY) from None
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})", "JSON", _REMEDY) from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: holds {type(data).__name__}", "a JSON object", _REMEDY)
    return data
