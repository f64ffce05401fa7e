"""Stage `validate@<dataset>`: the gate before training."""

from collections.abc import Iterator
from pathlib import Path

from reid.data.manifest import Manifest
from reid.retrieval.protocols import protocol_named
from reid.stages.catalogue import dataset_entry
from reid.stages.counts import OFFICIAL_COUNTS
from reid.stages.paths import manifest_file, open_images, suite_file, validation_folder
from reid.study import DatasetEntry, FilesSource
from reid.validation.gate import run_gate
from reid.validation.profile import write_profile


def validate_dataset(name: str) -> None:
    """Check a dataset; the report is written also when it fails."""
    entry = dataset_entry(name)
    source = entry.source
    official = isinstance(source, FilesSource) and source.official
    exclude = any(protocol_named(protocol).exclusion != "none" for protocol in entry.protocols)
    report = run_gate(
        Manifest.load(manifest_file(name)),
        open_images(name, entry),
        suite_file(entry.suite),
        exclude,
        validation_folder(name),
        OFFICIAL_COUNTS if official else None,
        tuple(_others(name, entry)),
        OFFICIAL_COUNTS.parent,
    )
    for outcome in report.warnings:
        print(f"warning: {name}: {outcome.name}: {outcome.count} ({outcome.remedy})")
    print(f"{name}: passed {len(report.expectations)} expectations")
    print(f"report: {validation_folder(name) / 'data_docs/index.html'}")


def store_profile(name: str) -> Path:
    """Store how bright each camera of a dataset is; later copies of it are compared with that."""
    manifest = Manifest.load(manifest_file(name))
    return write_profile(manifest, open_images(name, dataset_entry(name)), OFFICIAL_COUNTS.parent)


def _others(name: str, entry: DatasetEntry) -> Iterator[Manifest]:
    """Manifests of the other datasets in the folder that a pretraining set is compared with."""
    own = manifest_file(name)
    if entry.compared_with != own.parent:
        for path in sorted(Path(entry.compared_with).glob("*/manifest.parquet")):
            if path != own:
                yield Manifest.load(path)
