"""A manifest without a reader, for stages that need a dataset and little of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reid.data.manifest import EthicsRecord, Manifest, ManifestMeta
from reid.stages.paths import manifest_file


def row(path: str, split: str, **more: Any) -> dict[str, Any]:
    """One image; what is not said is unknown."""
    return {
        "dataset": "toy",
        "variant": "",
        "path": path,
        "alias_paths": [],
        "split": split,
        "trial_roles": None,
        "flag": "ok",
        "pid": None,
        "pid_key": None,
        "label": None,
        "noisy_label": False,
        "camid": None,
        "cam_raw": None,
        "viewid": -1,
        "modality": "rgb",
        "band": "visible",
        "object": "person",
        "session": None,
        "frame": None,
        "timestamp": None,
        "track_id": None,
        "occluded": None,
        "occ_fraction": None,
        "width": 16,
        "height": 32,
        "mode": "RGB",
        "bytes": 9,
        "sha256": bytes(32),
        "phash64": None,
        "attrs": None,
    } | more


def write_manifest(dataset: str, rows: Iterable[dict[str, Any]]) -> Path:
    """Write the manifest of a dataset below the current folder."""
    meta = ManifestMeta(
        dataset=dataset,
        layout="luperson",
        parser_version=1,
        root_fingerprint="f",
        counts={},
        benchmark=None,
        camera_count=None,
        ethics=EthicsRecord("own", "open", "yes"),
        tool_version="0",
    )
    listed = list(rows)
    columns = {name: [one[name] for one in listed] for name in listed[0]}
    path = manifest_file(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    Manifest.from_columns(columns, meta).save(path)
    return path
