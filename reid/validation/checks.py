"""The rules that look at more than one cell: one small function per rule, pandas only.

A check takes the manifest's frame and answers for each row whether the row obeys. A row that a rule
does not concern obeys it. The suite then expects every answer to be true.
"""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import pandas as pd

from reid.data.manifest import SCHEMA
from reid.data.storage import Storage
from reid.validation.copies import (
    TEST_SPLITS,
    Mask,
    no_duplicate_bytes_across_train_test,
    no_duplicate_bytes_within_split,
    no_query_copy_in_gallery,
)
from reid.validation.evidence import Evidence

# Of a broken image it is still known who it shows, from its name.
_KNOWN = ("ok", "broken")


def required_present(frame: pd.DataFrame) -> Mask:
    """No column that must be filled is empty."""
    required = [field.name for field in SCHEMA if not field.nullable]
    return frame[required].notna().all(axis=1)


def sha256_length(frame: pd.DataFrame) -> Mask:
    """The digest of the file has 32 bytes."""
    return frame["sha256"].map(len) == 32


def train_test_ids_disjoint(frame: pd.DataFrame) -> Mask:
    """No person of the training set appears in the test set."""
    ok = frame["flag"] == "ok"
    trained = frame.loc[ok & (frame["split"] == "train"), "pid_key"].dropna().unique()
    return ~(ok & frame["split"].isin(TEST_SPLITS) & frame["pid_key"].isin(trained))


def query_has_match(
    frame: pd.DataFrame, exclude_same_camera: bool, places: Mapping[int, int]
) -> Mask:
    """Each query finds its person in the gallery, seen elsewhere if that is the protocol.

    A broken gallery image counts: who is shown, and by which camera, is known from its name, and
    that it does not decode is the finding of another rule.

    Args:
        frame: Rows of the manifest.
        exclude_same_camera: Whether images of the query's own place do not count.
        places: Camera to the camera whose place it shares; the others stand alone.
    """
    place = frame["camid"].fillna(-1).astype(np.int64).replace(dict(places))
    keys = pd.DataFrame({"pid_key": frame["pid_key"], "place": place})
    gallery = keys[(frame["split"] == "gallery") & frame["flag"].isin(_KNOWN)]
    matches = keys["pid_key"].map(gallery["pid_key"].value_counts()).fillna(0)
    if exclude_same_camera:
        same = gallery.value_counts().reindex(pd.MultiIndex.from_frame(keys), fill_value=0)
        matches = matches - same.to_numpy()
    return ~is_scored_query(frame) | (matches > 0)


def pool_has_match(frame: pd.DataFrame) -> Mask:
    """Each person of a test set that is only split at evaluation has two images or more."""
    pool = (frame["split"] == "test_pool") & frame["flag"].isin(_KNOWN)
    images = frame["pid_key"].map(frame.loc[pool, "pid_key"].value_counts())
    return ~pool | (images >= 2)


def both_modalities_per_test_id(frame: pd.DataFrame) -> Mask:
    """Each person of gallery and test pool is seen in colour and in infrared, queries included.

    A query whose person is not in the gallery is the finding of another rule.
    """
    known = frame["flag"].isin(_KNOWN) & frame["split"].isin(TEST_SPLITS)
    seen = frame[known].groupby("pid_key")["modality"].nunique()
    concerned = known & (frame["split"] != "query")
    return ~concerned | (frame["pid_key"].map(seen) >= 2)


def is_scored_query(frame: pd.DataFrame) -> Mask:
    """Tell which rows are queries that enter the score."""
    return (frame["split"] == "query") & (frame["flag"] == "ok")


def camera_in_official_range(frame: pd.DataFrame, camera_count: int | None) -> Mask:
    """The camera is one that the data set has."""
    camera = frame["camid"]
    inside = camera >= 0
    if camera_count is not None:
        inside &= camera < camera_count
    return camera.isna() | inside.fillna(True).astype(bool)


def labels_contiguous(frame: pd.DataFrame) -> Mask:
    """The label is the rank of the person among those to train on; other rows have none."""
    trained = (frame["split"] == "train") & (frame["flag"] == "ok") & frame["pid"].notna()
    label = frame["label"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    expected = np.full(len(frame), np.nan)
    pids = frame.loc[trained, "pid"].astype(np.int64)
    expected[trained.to_numpy()] = pids.rank(method="dense").to_numpy() - 1
    equal = (label == expected) | (np.isnan(label) & np.isnan(expected))
    return pd.Series(equal, index=frame.index)


def listed_file_exists(frame: pd.DataFrame, storage: Storage) -> Mask:
    """The file is there; of an image inside a container, the container."""
    path = frame["path"]
    place = path.where(~path.str.contains("://", regex=False), path.str.partition("#")[0] + "#_")
    here = {where: storage.has(where) for where in place.unique()}
    return place.map(here).astype(bool)


def modality_matches_band(frame: pd.DataFrame) -> Mask:
    """Colour images are visible light; infrared ones are near infrared or thermal."""
    return (frame["modality"] == "rgb") == (frame["band"] == "visible")


def modality_matches_camera(frame: pd.DataFrame, gives: Collection[tuple[int, str]]) -> Mask:
    """The camera gives images of this modality.

    Args:
        frame: Rows of the manifest.
        gives: Pairs of camera and modality that occur; cameras in no pair are not looked at. If
            there are no pairs, a camera gives the one modality that most of its images have.
    """
    known = frame["camid"].notna()
    camera = frame["camid"].fillna(-1).astype(np.int64)
    if not gives:
        most = pd.crosstab(camera[known], frame.loc[known, "modality"]).idxmax(axis=1)
        return ~known | (frame["modality"] == camera.map(most))
    pairs = pd.MultiIndex.from_arrays([camera, frame["modality"]])
    listed = camera.isin({number for number, _ in gives})
    return ~listed | pairs.isin(list(gives))


def track_time_ordered(frame: pd.DataFrame) -> Mask:
    """Along a track time does not run backwards."""
    rows = frame[frame["track_id"].notna() & frame["timestamp"].notna()]
    rows = rows.sort_values(["track_id", "session", "frame"])
    step = rows.groupby(["track_id", "session"], dropna=False)["timestamp"].diff()
    return ~frame.index.to_series().isin(step.index[step < 0])


def junk_distractor_only_in_gallery(frame: pd.DataFrame) -> Mask:
    """Junk and distractors belong to the gallery alone."""
    extra = frame["flag"].isin(["junk", "distractor"])
    return ~extra | frame["split"].isin(["gallery", "ignored"])


def shorter_side(frame: pd.DataFrame) -> pd.Series:
    """Measure the shorter side in pixels; missing for an image that does not decode."""
    return frame[["width", "height"]].min(axis=1).where(frame["flag"] != "broken")


def aspect(frame: pd.DataFrame) -> pd.Series:
    """Divide height by width; missing for an image that does not decode."""
    return frame["height"] / frame["width"].where(frame["flag"] != "broken")


CHECKS: dict[str, Callable[[Evidence], pd.Series]] = {
    "required_present": lambda e: required_present(e.frame),
    "sha256_length": lambda e: sha256_length(e.frame),
    "train_test_ids_disjoint": lambda e: train_test_ids_disjoint(e.frame),
    "query_has_match": lambda e: query_has_match(e.frame, e.exclude_same_camera, e.cameras.places),
    "pool_has_match": lambda e: pool_has_match(e.frame),
    "image_decodes": lambda e: e.frame["flag"] != "broken",
    "shorter_side": lambda e: shorter_side(e.frame),
    "aspect": lambda e: aspect(e.frame),
    "no_duplicate_bytes_across_train_test": lambda e: no_duplicate_bytes_across_train_test(e.frame),
    "no_duplicate_bytes_within_split": lambda e: no_duplicate_bytes_within_split(e.frame),
    "no_query_copy_in_gallery": lambda e: no_query_copy_in_gallery(e.frame),
    "camera_in_official_range": lambda e: camera_in_official_range(
        e.frame, e.manifest.meta.camera_count
    ),
    "labels_contiguous": lambda e: labels_contiguous(e.frame),
    "listed_file_exists": lambda e: listed_file_exists(e.frame, e.storage),
    "modality_matches_band": lambda e: modality_matches_band(e.frame),
    "modality_matches_camera": lambda e: modality_matches_camera(e.frame, e.cameras.gives),
    "both_modalities_per_test_id": lambda e: both_modalities_per_test_id(e.frame),
    "track_time_ordered": lambda e: track_time_ordered(e.frame),
    "junk_distractor_only_in_gallery": lambda e: junk_distractor_only_in_gallery(e.frame),
}
"""Column of the table of images to what computes it: a rule, or one of two measures."""


def check_images(evidence: Evidence, columns: Iterable[str]) -> pd.DataFrame:
    """Compute rules for every row.

    Args:
        evidence: What to look at.
        columns: What a suite asks for; names that are not in `CHECKS` are left out.
    """
    computed = {name: CHECKS[name](evidence) for name in sorted(CHECKS.keys() & set(columns))}
    return pd.DataFrame(computed, index=evidence.frame.index)
