"""Small manifests, row by row."""

from collections.abc import Callable
from typing import Any

import pytest

from reid.data.manifest import SCHEMA, EthicsRecord, Manifest, ManifestMeta

DEFAULTS: dict[str, Any] = {
    "dataset": "toy",
    "variant": "",
    "alias_paths": [],
    "flag": "ok",
    "noisy_label": False,
    "viewid": -1,
    "modality": "rgb",
    "band": "visible",
    "object": "person",
    "width": 64,
    "height": 128,
    "mode": "RGB",
    "bytes": 9,
}

MakeManifest = Callable[..., Manifest]


@pytest.fixture(scope="session")
def make_manifest() -> MakeManifest:
    """Build a manifest from dictionaries of cells.

    What is not given has a harmless value: paths and digests differ, labels are ranks. Further
    arguments are fields of the metadata.
    """

    def make(rows: list[dict[str, Any]], **meta: Any) -> Manifest:
        trained = {r["pid"] for r in rows if r["split"] == "train" and r.get("flag", "ok") == "ok"}
        rank = {pid: label for label, pid in enumerate(sorted(trained))}
        full = [_complete(row, number, rank) for number, row in enumerate(rows)]
        facts: dict[str, Any] = {
            "dataset": "toy",
            "layout": "market1501",
            "parser_version": 1,
            "root_fingerprint": "",
            "counts": {},
            "benchmark": None,
            "camera_count": None,
            "ethics": EthicsRecord("own", "open", "yes"),
            "tool_version": "0",
        }
        columns = {name: [row.get(name) for row in full] for name in SCHEMA.names}
        return Manifest.from_columns(columns, ManifestMeta(**facts | meta))

    return make


def _complete(row: dict[str, Any], number: int, rank: dict[int, int]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "path": f"{number:03d}.jpg",
        "sha256": number.to_bytes(32, "big"),
        "pid_key": None if row["pid"] is None else f"toy:{row['pid']}",
        "camid": 0,
    }
    if row["split"] == "train" and row.get("flag", "ok") == "ok":
        made["label"] = rank[row["pid"]]
    return DEFAULTS | made | row
