"""The gate before training: run the suite over a manifest, write what was found, stop on errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reid.data.manifest import Manifest, ManifestMeta, count_splits
from reid.data.storage import Storage
from reid.errors import GateError
from reid.files import whole_folder
from reid.validation.checks import check_images
from reid.validation.docs import write_docs
from reid.validation.evidence import Evidence
from reid.validation.facts import collect_facts
from reid.validation.official import UNKNOWN_CAMERAS, CameraFacts, read_cameras, read_official
from reid.validation.profile import GreyLevels, profile_path, read_profile
from reid.validation.report import (
    ITEMS_SHOWN,
    GateReport,
    Outcome,
    add_persons,
    merge_outcomes,
    read_outcome,
)
from reid.validation.rules import TABLES
from reid.validation.suite import load_great_expectations, read_suite

REPORT_FILE = "report.json"
DOCS_FOLDER = "data_docs"
OFFICIAL_FILE = "official.yaml"


def run_gate(
    manifest: Manifest,
    storage: Storage,
    suite_path: Path,
    protocol_exclude_same_camera: bool,
    out_dir: Path,
    official_table: Path | None,
    others: Sequence[Manifest] = (),
    datasets_folder: Path | None = None,
) -> GateReport:
    """Run a suite over a manifest and write report and Data Docs.

    Args:
        manifest: The data set.
        storage: Where its images lie.
        suite_path: The suite, such as `params/validation/person.json`.
        protocol_exclude_same_camera: Whether the evaluation drops gallery images of the query's
            person that the query's own camera took.
        out_dir: Receives `report.json` and `data_docs/`.
        official_table: Table of official counts for a complete, known data set; None otherwise.
        others: Data sets whose test images must not be among those to pretrain on.
        datasets_folder: What is known of data sets whether complete or not: `official.yaml` with
            the cameras, and `profiles/`; None if nothing is.

    Returns:
        All outcomes; those of severity `error` hold, or there had been an exception.

    Raises:
        GateError: An expectation of severity `error` does not hold; the report is written.
    """
    suite = read_suite(suite_path)
    evidence = Evidence(
        manifest,
        storage,
        protocol_exclude_same_camera,
        official=read_official(official_table, manifest.meta) if official_table else (),
        cameras=_cameras(datasets_folder, manifest.meta),
        others=others,
        profile=_profile(datasets_folder, manifest.meta),
    )
    results = examine(evidence, suite)
    outcomes = merge_outcomes(
        [
            read_outcome(entry)
            for result in results.values()
            for entry in result.to_json_dict()["results"]
        ]
    )
    report = GateReport(
        dataset=manifest.meta.dataset,
        manifest_digest=manifest.digest,
        suite=suite["name"],
        counts=count_splits(manifest.frame),
        expectations=add_persons(outcomes, manifest.frame),
    )
    _write(report, results, out_dir)
    if report.errors:
        raise _explain(report, out_dir / REPORT_FILE)
    return report


def examine(evidence: Evidence, suite: dict[str, Any]) -> dict[str, Any]:
    """Compute what a suite looks at, and validate it.

    Returns:
        Per table the validation result of Great Expectations.
    """
    checks = check_images(evidence, _columns(suite, "images"))
    tables = {
        "images": pd.concat([_plain(evidence.frame), checks], axis=1),
        "facts": collect_facts(evidence, _columns(suite, "facts")),
    }
    return {name: _validate(tables[name], name, suite) for name in TABLES}


def _cameras(folder: Path | None, meta: ManifestMeta) -> CameraFacts:
    return read_cameras(folder / OFFICIAL_FILE, meta) if folder else UNKNOWN_CAMERAS


def _profile(folder: Path | None, meta: ManifestMeta) -> dict[int, GreyLevels] | None:
    return read_profile(profile_path(folder, meta)) if folder else None


def _columns(suite: dict[str, Any], table: str) -> set[str]:
    """List the columns that the expectations on a table name."""
    wanted = [entry for entry in suite["expectations"] if entry["meta"]["table"] == table]
    return {entry["kwargs"]["column"] for entry in wanted if "column" in entry["kwargs"]}


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Write nested and binary cells as text, which is all that the library can count."""
    text = {
        "sha256": frame["sha256"].map(bytes.hex),
        "alias_paths": frame["alias_paths"].map(str),
        "trial_roles": frame["trial_roles"].map(str),
    }
    return frame.assign(**text)


def _validate(table: pd.DataFrame, name: str, suite: dict[str, Any]) -> Any:
    """Run the expectations that look at one table, in memory."""
    gx = load_great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("manifest").add_dataframe_asset(name)
    definition = asset.add_batch_definition_whole_dataframe("all")
    wanted = [entry for entry in suite["expectations"] if entry["meta"]["table"] == name]
    return definition.get_batch({"dataframe": table}).validate(
        gx.ExpectationSuite(name=f"{suite['name']}_{name}", expectations=wanted),
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": ITEMS_SHOWN,
            "unexpected_index_column_names": ["path" if name == "images" else "subject"],
        },
    )


def _write(report: GateReport, results: dict[str, Any], out_dir: Path) -> None:
    with whole_folder(out_dir / DOCS_FOLDER) as folder:
        write_docs(folder, report, results)
    report.save(out_dir / REPORT_FILE)


def _explain(report: GateReport, path: Path) -> GateError:
    """Name the first failures in one line."""
    named = "; ".join(_name_failure(outcome) for outcome in report.errors[:3])
    more = f"; and {len(report.errors) - 3} more" if len(report.errors) > 3 else ""
    count = "1 expectation" if len(report.errors) == 1 else f"{len(report.errors)} expectations"
    return GateError(
        f"{report.dataset}: {count} failed: {named}{more}",
        "none",
        f"{report.errors[0].remedy} See {path}.",
    )


def _name_failure(outcome: Outcome) -> str:
    shown = ", ".join(outcome.items[:2])
    rest = outcome.count - len(outcome.items[:2])
    return f"{outcome.name} ({shown}{f' and {rest} more' if rest > 0 else ''})"
