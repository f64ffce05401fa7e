"""What can only be said of a data set as a whole, as a table with one row per subject.

A column belongs to one rule and is empty in the rows of the other rules, where nothing is expected.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from reid.data.manifest import EthicsRecord, Manifest, count_splits
from reid.validation.checks import is_scored_query, query_has_match
from reid.validation.official import OfficialCount

COLUMNS = (
    "subject",
    "label_images",
    "label_cameras",
    "all_cameras_in_train",
    "official_counts",
    "official_counts_literature",
    "no_unlisted_images",
    "ethics_record_present",
    "valid_queries",
)
"""Columns of the table: what a row is about, then one column per rule."""

_COUNTED = ("label_images", "label_cameras", "valid_queries")

STATUSES = ("open", "research", "agreement", "withdrawn")
CONSENTS = ("yes", "no", "synthetic", "unknown")

Fact = dict[str, Any]


def collect_facts(
    manifest: Manifest, exclude_same_camera: bool, official: Sequence[OfficialCount]
) -> pd.DataFrame:
    """Gather the facts of a data set.

    Args:
        manifest: The data set.
        exclude_same_camera: Whether the protocol drops gallery images of the query's camera.
        official: Counts that the data set must have; none for a subset, which need not show
            every camera in training either. A generated world is always complete.

    Returns:
        A frame with the columns `COLUMNS`.
    """
    facts = [
        *_label_support(manifest),
        *(_train_cameras(manifest) if official or manifest.meta.generator else ()),
        *_official_counts(manifest, official),
        *({"subject": path, "no_unlisted_images": False} for path in manifest.meta.unlisted),
        _ethics(manifest.meta.ethics),
        *_valid_queries(manifest, exclude_same_camera),
    ]
    frame = pd.DataFrame(facts, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(_COUNTED, float))


def _label_support(manifest: Manifest) -> Iterator[Fact]:
    for key, rows in manifest.train.groupby("pid_key", sort=True):
        yield {
            "subject": f"person {key}",
            "label_images": len(rows),
            "label_cameras": rows["camid"].nunique(),
        }


def _train_cameras(manifest: Manifest) -> Iterator[Fact]:
    seen = manifest.train_cameras
    if seen:
        for camera in range(manifest.meta.camera_count or 0):
            yield {"subject": f"camid {camera}", "all_cameras_in_train": camera in seen}


def _official_counts(manifest: Manifest, official: Iterable[OfficialCount]) -> Iterator[Fact]:
    counts = count_splits(manifest.frame)
    for entry in official:
        column = "official_counts"
        if entry.confidence == "literature":
            column = "official_counts_literature"
        for name, expected in entry.cells().items():
            found = counts.get(entry.split, {}).get(name, 0)
            subject = f"{entry.split} {name}: {found}, officially {expected}"
            yield {"subject": subject, column: found == expected}


def _ethics(record: EthicsRecord | None) -> Fact:
    if record is None:
        return {"subject": "no ethics record", "ethics_record_present": False}
    stated = bool(record.licence) and record.status in STATUSES and record.consent in CONSENTS
    acknowledged = record.status != "withdrawn" or bool(record.acknowledged_by)
    subject = f"licence '{record.licence}', status {record.status}, consent {record.consent}"
    if not acknowledged:
        subject += ", not acknowledged"
    return {"subject": subject, "ethics_record_present": stated and acknowledged}


def _valid_queries(manifest: Manifest, exclude_same_camera: bool) -> Iterator[Fact]:
    """Count queries with an answer; a data set without any test image has no such fact."""
    frame = manifest.frame
    if not frame["split"].isin(["query", "gallery"]).any():
        return
    queries = is_scored_query(frame)
    valid = int((queries & query_has_match(frame, exclude_same_camera)).sum())
    other = " of another camera" if exclude_same_camera else ""
    subject = f"{valid} of {int(queries.sum())} queries have a gallery image{other}"
    yield {"subject": subject, "valid_queries": valid}
