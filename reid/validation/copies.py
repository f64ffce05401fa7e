"""Images that are there twice: equal files, and images that only look the same."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reid.data.manifest import Manifest
from reid.validation.near import COMPARISONS, RADIUS, find_nearest, says_something

TEST_SPLITS = ("query", "gallery", "test_pool")

Mask = pd.Series
"""One boolean per row of the frame."""


def no_duplicate_bytes_across_train_test(frame: pd.DataFrame) -> Mask:
    """No file of the training set is also in the test set."""
    decoded = frame["flag"] != "broken"
    train = decoded & (frame["split"] == "train")
    test = decoded & frame["split"].isin(TEST_SPLITS)
    code = _codes(frame)
    shared = np.intersect1d(code[train], code[test])
    return ~((train | test) & code.isin(shared))


def no_duplicate_bytes_within_split(frame: pd.DataFrame) -> Mask:
    """No two files of a split are equal."""
    where = pd.DataFrame({"split": frame["split"], "code": _codes(frame)})
    return ~where.duplicated(keep=False) | (frame["flag"] == "broken")


def no_query_copy_in_gallery(frame: pd.DataFrame) -> Mask:
    """No query is a copy of a gallery image of another person or camera."""
    part = frame["split"].isin(["query", "gallery"]) & (frame["flag"] != "broken")
    code = _codes(frame)
    rows = frame.loc[part, ["split", "pid_key", "camid"]].assign(code=code[part])
    splits = rows.groupby("code")["split"].nunique()
    names = rows.drop_duplicates(["code", "pid_key", "camid"]).groupby("code").size()
    clashes = splits.index[(splits == 2) & (names > 1)]
    return ~(part & code.isin(clashes))


def leaked_test_images(frame: pd.DataFrame, others: Iterable[Manifest]) -> pd.DataFrame:
    """Find images to pretrain on that are test images of another data set.

    Args:
        frame: Rows of the data set to pretrain on.
        others: The other data sets.

    Returns:
        `subject` names the image, the other data set and its image, one row for each.
    """
    rows = frame[(frame["split"] == "pretrain") & (frame["flag"] != "broken")]
    digests = _digests(rows)
    subjects: list[str] = []
    for other in others:
        test = other.frame[other.frame["split"].isin(TEST_SPLITS)]
        test = test[test["flag"] != "broken"]
        found = pc.index_in(digests, value_set=_digests(test))
        hits = np.flatnonzero(pc.is_valid(found).to_numpy(zero_copy_only=False))
        copies = test["path"].iloc[found.take(pa.array(hits)).to_numpy()]
        splits = test["split"].iloc[found.take(pa.array(hits)).to_numpy()]
        for path, split, copy in zip(rows["path"].iloc[hits], splits, copies, strict=True):
            subjects.append(f"{path} is {split} image {copy} of {other.meta.dataset}")
    return pd.DataFrame({"subject": pd.Series(subjects, dtype=object), "clean": False})


def near_duplicates(frame: pd.DataFrame) -> pd.DataFrame:
    """Find test images that look like a training image, although the files differ.

    Flat images are left out, for all of them look the same. So are test images whose file is in
    the training set: they are the finding of another rule.

    Returns:
        `subject` names the two images and the number of bits in which their hashes differ, one
        row for each test image that looks like a training image; a last row says if some test
        images were not compared with all training images.
    """
    rows = frame[(frame["flag"] == "ok") & frame["phash64"].notna()]
    rows = rows[says_something(rows["phash64"].to_numpy(np.uint64))]
    train = rows[rows["split"] == "train"]
    test = rows[rows["split"].isin(TEST_SPLITS)]
    copied = pc.is_in(_digests(test), value_set=_digests(train))
    test = test[~copied.to_numpy(zero_copy_only=False)]
    needles, haystack = (part["phash64"].to_numpy(np.uint64) for part in (test, train))
    nearest = find_nearest(needles, haystack, COMPARISONS)
    hits = np.flatnonzero(nearest.distance <= RADIUS)
    twins = train["path"].iloc[nearest.position[hits]]
    subjects = [
        f"{path} looks like {twin} ({distance} of 64 bits differ)"
        for path, twin, distance in zip(
            test["path"].iloc[hits], twins, nearest.distance[hits], strict=True
        )
    ]
    if skipped := int(nearest.skipped.sum()):
        subjects.append(f"{skipped} test images not compared: too many training images look alike")
    return pd.DataFrame({"subject": pd.Series(subjects, dtype=object), "distinct": False})


def _digests(frame: pd.DataFrame) -> pa.Array:
    return pa.array(frame["sha256"], pa.binary())


def _codes(frame: pd.DataFrame) -> pd.Series:
    """Number the distinct files: numbers compare fast, and pandas loses zeros that end a digest."""
    indices = _digests(frame).dictionary_encode().indices
    return pd.Series(indices.to_numpy(), index=frame.index)
