"""How much the images of one person differ: persons that stand out may be two persons."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FEWEST = 4
"""Images that a person needs before their spread says something."""


def label_spread(frame: pd.DataFrame) -> pd.DataFrame:
    """Measure for each labelled person how much their images differ.

    The measure is the mean number of bits in which the hashes of two images of the person differ,
    divided by the same number for any two images of the data set: 1 means that the person's
    images are no more alike than those of strangers.

    Args:
        frame: Rows of the manifest; those to train or to pretrain on are looked at.

    Returns:
        `subject` and `spread`, the largest first, for persons with `FEWEST` images or more.
    """
    used = frame["split"].isin(["train", "pretrain"]) & (frame["flag"] == "ok")
    rows = frame[used & frame["pid_key"].notna() & frame["phash64"].notna()]
    code, keys = pd.factorize(rows["pid_key"], sort=True)
    hashes = rows["phash64"].to_numpy(np.uint64)
    images = np.bincount(code, minlength=len(keys))
    within = _mean_difference(hashes, code, len(keys))
    strangers = _mean_difference(hashes, np.zeros_like(code), 1)[0]
    enough = np.flatnonzero((images >= FEWEST) & (strangers > 0))
    enough = enough[np.argsort(-within[enough], kind="stable")]
    subjects = [
        f"person {keys[person]}: {within[person]:.1f} of 64 bits differ between "
        f"{images[person]} images, {strangers:.1f} between strangers"
        for person in enough.tolist()
    ]
    spread = within[enough] / strangers
    return pd.DataFrame({"subject": pd.Series(subjects, dtype=object), "spread": spread})


def _mean_difference(
    hashes: NDArray[np.uint64], code: NDArray[np.intp], groups: int
) -> NDArray[np.float64]:
    """Compute the mean Hamming distance between two different images of a group, [groups].

    A bit that is set in k of n images differs in 2 k (n - k) of the n (n - 1) ordered pairs.
    """
    images = np.bincount(code, minlength=groups)
    pairs = np.zeros(groups)
    for bit in range(64):
        is_set = ((hashes >> np.uint64(bit)) & np.uint64(1)).astype(np.float64)
        ones = np.bincount(code, weights=is_set, minlength=groups)
        pairs += 2 * ones * (images - ones)
    mean: NDArray[np.float64] = pairs / np.maximum(images * (images - 1), 1)
    return mean
