"""What can only be said of a data set as a whole, as a table with one row per subject.

A column belongs to one rule and is empty in the rows of the other rules, where nothing is expected.
"""

from collections.abc import Callable, Iterable

import pandas as pd

from reid.data.manifest import WITHDRAWN
from reid.validation.checks import is_scored_query, query_has_match
from reid.validation.copies import leaked_test_images, near_duplicates
from reid.validation.evidence import Evidence
from reid.validation.official import compare_counts
from reid.validation.profile import compare_profiles, measure_profile
from reid.validation.spread import label_spread

STATUSES = ("open", "research", "agreement", "withdrawn")
CONSENTS = ("yes", "no", "synthetic", "unknown")

Table = pd.DataFrame
"""`subject`: what a row is about; and the columns of one rule."""


def collect_facts(evidence: Evidence, columns: Iterable[str]) -> Table:
    """Gather the facts of a data set.

    Args:
        evidence: What to look at.
        columns: What a suite asks for; names that are not in `FACTS` are left out.

    Returns:
        `subject`, and one column for each of `columns` that is known.
    """
    known = {name: makers for name, makers in FACTS.items() if name in set(columns)}
    tables = [make(evidence) for make in dict.fromkeys(known.values())]
    filled = [table for table in tables if len(table)]
    every = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame()
    return every.reindex(columns=["subject", *known])


def _label_support(evidence: Evidence) -> Table:
    """Count images and, where they are known, cameras of each person to train on."""
    train = evidence.manifest.train
    people = train.groupby("pid_key", sort=True)
    images = people.size()
    table = pd.DataFrame(
        {
            "subject": [f"person {key}" for key in images.index],
            "label_images": images.to_numpy(float),
        }
    )
    if train["camid"].notna().any():
        table["label_cameras"] = people["camid"].nunique().to_numpy(float)
    return table


def _train_cameras(evidence: Evidence) -> Table:
    """List the cameras that training should show; a subset need not show them all."""
    meta, seen = evidence.manifest.meta, evidence.manifest.train_cameras
    complete = bool(evidence.official) or meta.generator is not None
    cameras = range(meta.camera_count or 0) if seen and complete else range(0)
    return pd.DataFrame(
        {
            "subject": [f"camid {camera}" for camera in cameras],
            "all_cameras_in_train": [camera in seen for camera in cameras],
        }
    )


def _counts(evidence: Evidence) -> Table:
    table = compare_counts(evidence.frame, evidence.official, literature=False)
    return table.rename(columns={"agrees": "official_counts"})


def _counts_in_literature(evidence: Evidence) -> Table:
    table = compare_counts(evidence.frame, evidence.official, literature=True)
    return table.rename(columns={"agrees": "official_counts_literature"})


def _unlisted(evidence: Evidence) -> Table:
    return _false("no_unlisted_images", evidence.manifest.meta.unlisted)


def _ethics(evidence: Evidence) -> Table:
    record = evidence.manifest.meta.ethics
    if record is None:
        return _false("ethics_record_present", ["no ethics record"])
    stated = bool(record.licence) and record.status in STATUSES and record.consent in CONSENTS
    subject = f"licence '{record.licence}', status {record.status}, consent {record.consent}"
    return pd.DataFrame({"subject": [subject], "ethics_record_present": [stated]})


def _acknowledgement(evidence: Evidence) -> Table:
    """Ask for a word on data that their authors have withdrawn."""
    record = evidence.manifest.meta.ethics
    if record is None or record.status != WITHDRAWN:
        return _false("withdrawn_acknowledged", [])
    name = evidence.manifest.meta.benchmark or evidence.manifest.meta.dataset
    subject = f'{name} is withdrawn: add acknowledge_withdrawn: "<who, and why>"'
    acknowledged = bool(record.acknowledged_by)
    return pd.DataFrame({"subject": [subject], "withdrawn_acknowledged": [acknowledged]})


def _valid_queries(evidence: Evidence) -> Table:
    """Count queries with an answer; a data set without query and gallery has no such fact."""
    frame, exclude = evidence.frame, evidence.exclude_same_camera
    if not frame["split"].isin(["query", "gallery"]).any():
        return pd.DataFrame()
    queries = is_scored_query(frame)
    valid = int((queries & query_has_match(frame, exclude, evidence.cameras.places)).sum())
    other = " of another camera" if exclude else ""
    subject = f"{valid} of {int(queries.sum())} queries have a gallery image{other}"
    return pd.DataFrame({"subject": [subject], "valid_queries": [float(valid)]})


def _near_duplicates(evidence: Evidence) -> Table:
    column = "no_near_duplicates_across_train_test"
    return near_duplicates(evidence.frame).rename(columns={"distinct": column})


def _leaks(evidence: Evidence) -> Table:
    table = leaked_test_images(evidence.frame, evidence.others)
    return table.rename(columns={"clean": "no_test_image_in_pretrain"})


def _spread(evidence: Evidence) -> Table:
    return label_spread(evidence.frame).rename(columns={"spread": "label_spread"})


def _drift(evidence: Evidence) -> Table:
    if evidence.profile is None:
        return pd.DataFrame()
    return compare_profiles(measure_profile(evidence.manifest, evidence.storage), evidence.profile)


def _false(column: str, subjects: Iterable[str]) -> Table:
    subjects = list(subjects)
    return pd.DataFrame({"subject": subjects, column: [False] * len(subjects)})


FACTS: dict[str, Callable[[Evidence], Table]] = {
    "label_images": _label_support,
    "label_cameras": _label_support,
    "all_cameras_in_train": _train_cameras,
    "official_counts": _counts,
    "official_counts_literature": _counts_in_literature,
    "no_unlisted_images": _unlisted,
    "ethics_record_present": _ethics,
    "withdrawn_acknowledged": _acknowledgement,
    "valid_queries": _valid_queries,
    "no_near_duplicates_across_train_test": _near_duplicates,
    "no_test_image_in_pretrain": _leaks,
    "label_spread": _spread,
    "mean_drift": _drift,
    "std_drift": _drift,
}
"""Column of the table of facts to what computes it."""
