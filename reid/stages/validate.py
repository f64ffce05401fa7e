"""Stage `validate@<dataset>`: the gate before training."""

from pathlib import Path

from reid.data.manifest import Manifest
from reid.retrieval.protocols import protocol_named
from reid.stages.paths import images_root, manifest_file, suite_file, validation_folder
from reid.study import Market1501Source, load_study
from reid.validation.gate import run_gate

OFFICIAL_COUNTS = Path("params/datasets/official.yaml")


def validate_dataset(name: str) -> None:
    """Check a dataset of the active study; the report is written also when it fails."""
    study = load_study()
    entry = study.dataset(name)
    manifest = Manifest.load(manifest_file(name))
    source = entry.source
    official = isinstance(source, Market1501Source) and source.official
    exclude = any(protocol_named(protocol).exclude_same_camera for protocol in entry.protocols)
    report = run_gate(
        manifest,
        images_root(name, entry),
        suite_file(entry.suite),
        exclude,
        validation_folder(name),
        OFFICIAL_COUNTS if official else None,
    )
    for outcome in report.warnings:
        print(f"warning: {name}: {outcome.name}: {outcome.count} ({outcome.remedy})")
    print(f"{name}: passed {len(report.expectations)} expectations")
