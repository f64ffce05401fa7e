"""The rules that look at more than one cell: one small function per rule, pandas only.

A check takes the manifest's frame and answers for each row whether the row obeys. A row that a rule
does not concern obeys it. The suite then expects every answer to be true.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from reid.data.manifest import SCHEMA

TEST_SPLITS = ("query", "gallery", "test_pool")

Mask = pd.Series
"""One boolean per row of the frame."""


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


def query_has_match(frame: pd.DataFrame, exclude_same_camera: bool) -> Mask:
    """Each query finds its person in the gallery, seen by another camera if that is the protocol.

    A broken gallery image counts: who is shown, and by which camera, is known from its name, and
    that it does not decode is the finding of another rule.
    """
    camera = frame["camid"].fillna(-1).astype(np.int64)
    keys = pd.DataFrame({"pid_key": frame["pid_key"], "camera": camera})
    gallery = keys[(frame["split"] == "gallery") & frame["flag"].isin(["ok", "broken"])]
    matches = keys["pid_key"].map(gallery["pid_key"].value_counts()).fillna(0)
    if exclude_same_camera:
        same = gallery.value_counts().reindex(pd.MultiIndex.from_frame(keys), fill_value=0)
        matches = matches - same.to_numpy()
    return ~is_scored_query(frame) | (matches > 0)


def is_scored_query(frame: pd.DataFrame) -> Mask:
    """Tell which rows are queries that enter the score."""
    return (frame["split"] == "query") & (frame["flag"] == "ok")


def no_duplicate_bytes_across_train_test(frame: pd.DataFrame) -> Mask:
    """No file of the training set is also in the test set."""
    decoded = frame["flag"] != "broken"
    train = decoded & (frame["split"] == "train")
    test = decoded & frame["split"].isin(TEST_SPLITS)
    digest = _digest(frame)
    shared = set(digest[train]) & set(digest[test])
    return ~((train | test) & digest.isin(shared))


def no_duplicate_bytes_within_split(frame: pd.DataFrame) -> Mask:
    """No two files of a split are equal."""
    where = pd.DataFrame({"split": frame["split"], "digest": _digest(frame)})
    return ~where.duplicated(keep=False) | (frame["flag"] == "broken")


def no_query_copy_in_gallery(frame: pd.DataFrame) -> Mask:
    """No query is a copy of a gallery image of another person or camera."""
    part = frame["split"].isin(["query", "gallery"]) & (frame["flag"] != "broken")
    digest = _digest(frame)
    rows = frame[part & digest.duplicated(keep=False)]
    clashes = {
        copied
        for copied, group in rows.groupby(digest)
        if group["split"].nunique() == 2 and len(group[["pid_key", "camid"]].drop_duplicates()) > 1
    }
    return ~(part & digest.isin(clashes))


def _digest(frame: pd.DataFrame) -> pd.Series:
    """Write digests as text: as bytes, pandas loses zeros at their end in `isin`."""
    return frame["sha256"].map(bytes.hex)


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


def listed_file_exists(frame: pd.DataFrame, images_root: Path) -> Mask:
    """The file is there; images inside a container are not looked up."""
    here = [":" in path or (images_root / path).is_file() for path in frame["path"]]
    return pd.Series(here, index=frame.index)


def modality_matches_band(frame: pd.DataFrame) -> Mask:
    """Colour images are visible light; infrared ones are near infrared or thermal."""
    return (frame["modality"] == "rgb") == (frame["band"] == "visible")


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


def check_images(
    frame: pd.DataFrame, images_root: Path, camera_count: int | None, exclude_same_camera: bool
) -> pd.DataFrame:
    """Compute every rule for every row.

    Returns:
        One column per rule, named like the rule, and the two measures `shorter_side`, `aspect`.
    """
    return pd.DataFrame(
        {
            "required_present": required_present(frame),
            "sha256_length": sha256_length(frame),
            "train_test_ids_disjoint": train_test_ids_disjoint(frame),
            "query_has_match": query_has_match(frame, exclude_same_camera),
            "image_decodes": frame["flag"] != "broken",
            "shorter_side": shorter_side(frame),
            "aspect": aspect(frame),
            "no_duplicate_bytes_across_train_test": no_duplicate_bytes_across_train_test(frame),
            "no_duplicate_bytes_within_split": no_duplicate_bytes_within_split(frame),
            "no_query_copy_in_gallery": no_query_copy_in_gallery(frame),
            "camera_in_official_range": camera_in_official_range(frame, camera_count),
            "labels_contiguous": labels_contiguous(frame),
            "listed_file_exists": listed_file_exists(frame, images_root),
            "modality_matches_band": modality_matches_band(frame),
            "track_time_ordered": track_time_ordered(frame),
            "junk_distractor_only_in_gallery": junk_distractor_only_in_gallery(frame),
        }
    )
