"""Stage `data@<dataset>`: generate or index a dataset, and write its manifest."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reid.data.indexing import build_manifest
from reid.data.manifest import WITHDRAWN, EthicsRecord, ManifestMeta
from reid.data.readers import Reading, read_layout
from reid.data.storage import Storage, open_storage
from reid.data.synthetic import WorldSpec, build_world
from reid.errors import DataError
from reid.files import whole_folder
from reid.progress import progress
from reid.stages.catalogue import dataset_entry
from reid.stages.paths import facts_file, manifest_file
from reid.study import DatasetEntry, FilesSource, SyntheticSource


def build_dataset(name: str) -> None:
    """Write `data/<name>/`: the images of a synthetic world, and the manifest of any dataset."""
    entry = dataset_entry(name)
    target = manifest_file(name)
    with whole_folder(target.parent) as folder:
        storage = _paint(name, entry, folder) or open_storage(entry.made_from)
        reading = read_entry(storage, entry)
        meta = index_entry(name, entry, storage, reading, folder / target.name)
    for warning in reading.warnings:
        print(f"warning: {name}: {warning}")
    images = sum(split["images"] + split["junk"] for split in meta.counts.values())
    print(f"{name}: {images} images, files {meta.root_fingerprint[:12]}")


def read_entry(storage: Storage, entry: DatasetEntry) -> Reading:
    """Read the layout of a dataset, and put its acknowledgement into its terms.

    Raises:
        DataError: The data were withdrawn, and nobody says why they are used all the same.
    """
    source = entry.source
    options: Mapping[str, Any] = source.options if isinstance(source, FilesSource) else {}
    reading = read_layout(source.reader, storage, options)
    if reading.ethics is None or reading.ethics.status != WITHDRAWN:
        return reading
    why = source.acknowledge_withdrawn if isinstance(source, FilesSource) else None
    if isinstance(source, FilesSource) and source.terms:
        raise DataError(
            f"{reading.layout}: withdrawn by its authors, and other terms are stated",
            "no terms of your own for this layout",
            "For pictures of your own that are named alike use the layout `folder` with a pattern.",
        )
    if why is None:
        raise DataError(
            f"{reading.layout}: withdrawn by its authors, for the people shown had not agreed",
            "an acknowledgement",
            'State `acknowledge_withdrawn: "<who uses it, and why>"` in its source '
            "(with `reid data add`: --acknowledge-withdrawn), or use another data set.",
        )
    return replace(reading, ethics=replace(reading.ethics, acknowledged_by=why))


def index_entry(
    name: str, entry: DatasetEntry, storage: Storage, reading: Reading, target: Path
) -> ManifestMeta:
    """Write the manifest of a dataset with a progress bar."""
    source = entry.source
    own = isinstance(source, FilesSource) and source.terms
    with progress(f"{name}: index") as advance:
        return build_manifest(
            reading,
            storage,
            name,
            target,
            facts_file(name),
            ethics=EthicsRecord(**own.model_dump()) if own else None,
            strict=isinstance(source, FilesSource) and source.strict,
            progress=advance,
        )


def _paint(name: str, entry: DatasetEntry, folder: Path) -> Storage | None:
    """Paint a synthetic world; None for a dataset of files."""
    source = entry.source
    if not isinstance(source, SyntheticSource):
        return None
    fields = source.model_dump(exclude={"reader"}, exclude_none=True)
    with progress(f"{name}: paint") as advance:
        build_world(WorldSpec(**fields), folder, os.cpu_count() or 1, advance)
    return open_storage(folder)
