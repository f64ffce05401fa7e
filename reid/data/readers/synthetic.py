"""Synthetic worlds: the layout of a public data set, with what only a generator knows beside it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reid.data.manifest import EthicsRecord
from reid.data.readers.luperson import read_luperson
from reid.data.readers.market1501 import read_market1501
from reid.data.readers.reading import Reading, Row
from reid.data.readers.sorting import find_home, homes_of
from reid.data.readers.sysu_mm01 import read_sysu_mm01
from reid.data.storage import Storage
from reid.errors import DataError

LAYOUT = "synthetic"
WORLD_FILE = "synth.json"
ATTRIBUTES_FILE = "synth_attributes.json"
ETHICS = EthicsRecord(licence="generated, no real person shown", status="open", consent="synthetic")

LAYOUTS: Mapping[str, Callable[[Storage], Reading]] = {
    "colour": read_market1501,
    "occluded": read_market1501,
    "cross_modal": read_sysu_mm01,
    "unlabelled": read_luperson,
}
"""Kind of world to the reader of its layout."""

_REMEDY = "Generate the world again with `reid data build`."


def is_synthetic(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is a generated world."""
    return bool(homes_of(paths, (WORLD_FILE,)))


def read_synthetic(storage: Storage) -> Reading:
    """Read a synthetic world.

    Args:
        storage: The folder that holds `synth.json`, or one above it.

    Raises:
        DataError: The layout or one of the generator's two files is missing or damaged, or an
            image is not among the attributes.
    """
    home = find_home(storage, storage.files(), (WORLD_FILE,))
    world = _read_json(storage, home + WORLD_FILE)
    attributes = _read_json(storage, home + ATTRIBUTES_FILE)
    kind = str(world.get("kind", "colour"))
    if kind not in LAYOUTS:
        found = f"{storage.root}: {WORLD_FILE} says kind '{kind}'"
        raise DataError(found, f"one of {', '.join(LAYOUTS)}", _REMEDY)
    reading = LAYOUTS[kind](storage)
    labelled = reading.camera_count is not None
    return replace(
        reading,
        layout=LAYOUT,
        benchmark=None,
        rows=tuple(_with_attributes(row, attributes, home) for row in reading.rows),
        camera_count=_camera_count(world, storage) if labelled else None,
        ethics=ETHICS,
        generator=world,
    )


def _camera_count(world: dict[str, Any], storage: Storage) -> int:
    try:
        return int(world["counts"]["cameras"])
    except (KeyError, TypeError):
        found = f"{storage.root}: {WORLD_FILE} lacks counts.cameras"
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
        track_id=str(known["track"]) if "track" in known else None,
        timestamp=known["time"],
        attrs=json.dumps(known["attrs"], sort_keys=True) if known.get("attrs") else None,
    )


def _read_json(storage: Storage, path: str) -> dict[str, Any]:
    try:
        data = json.loads(storage.read_text(path))
    except ValueError as error:
        found = f"{storage.root}: {path} is not valid JSON ({error})"
        raise DataError(found, "JSON", _REMEDY) from None
    if not isinstance(data, dict):
        found = f"{storage.root}: {path} holds {type(data).__name__}"
        raise DataError(found, "a JSON object", _REMEDY)
    return data
