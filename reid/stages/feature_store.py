"""From the rows of a manifest to a feature store: which images are tested on, and what of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reid.data.manifest import Manifest
from reid.errors import DataError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.precision import Stored, name_of

ROLES = {"query": "query", "gallery": "gallery", "test_pool": "pool"}
"""Split in the manifest to role in the feature store."""


def rows_to_embed(dataset: str, manifest: Manifest) -> pd.DataFrame:
    """Pick the rows to test on: queries and gallery, and the pool from which protocols take both.

    Junk is among them, broken images are not.

    Args:
        dataset: Name of the test set, for messages.
        manifest: Its manifest.

    Raises:
        DataError: There is no pool, and no query or no gallery.
    """
    frame = manifest.frame
    rows = frame[frame["split"].isin(list(ROLES)) & (frame["flag"] != "broken")]
    found = set(rows["split"])
    missing = [split for split in ("query", "gallery") if split not in found]
    if missing and "test_pool" not in found:
        raise DataError(
            f"{dataset}: the {missing[0]} split is empty",
            "query and gallery images, or a test pool",
            "Choose another test set in the study.",
        )
    return rows


def make_embeddings(rows: pd.DataFrame, features: Stored, card: Mapping[str, Any]) -> Embeddings:
    """Put features beside what the manifest knows of their images.

    Args:
        rows: As `rows_to_embed` gives them [N].
        features: [N, D]; the card says their format as `stored_as`.
        card: How the features were made.
    """
    return Embeddings(
        features=features,
        person_ids=rows["pid"].fillna(-1).to_numpy(np.int64),
        camera_ids=rows["camid"].fillna(-1).to_numpy(np.int64),
        roles=rows["split"].map(ROLES).to_numpy(str),
        paths=rows["path"].to_numpy(str),
        card={**card, "stored_as": name_of(features)},
        modalities=rows["modality"].to_numpy(str),
        occlusions=hidden_shares(rows),
        seconds=rows["timestamp"].to_numpy(np.float64, na_value=np.nan),
        draws=official_draws(rows["trial_roles"]),
    )


def hidden_shares(rows: pd.DataFrame) -> NDArray[np.float32]:
    """Return which share of the person is hidden in each image, NaN where nobody knows: [N].

    Generated worlds state the share. Of other data it is known at most whether something hides the
    person: 0 where nothing does. Where something does, the share stays unknown, for any number
    would be invented; a breakdown still tells these images from those of whole persons.
    """
    shares = rows["occ_fraction"].to_numpy(np.float32, copy=True)
    whole = ~rows["occluded"].fillna(True).to_numpy(np.bool_)
    shares[np.isnan(shares) & whole] = 0.0
    return shares


def official_draws(trial_roles: "pd.Series[Any]") -> NDArray[np.int64]:
    """Return the places of images in the official draws of the gallery.

    Readers of data that come with such draws write the place of an image, from 1, as its role in
    a trial; words such as `test` are no places.

    Args:
        trial_roles: Column of the manifest [N].

    Returns:
        Place from 0 in each trial, -1 where it is not drawn [N, T]; no trial if nothing is drawn.
    """
    places = list(_places(trial_roles))
    trials = max((trial for _, trial, _ in places), default=0)
    draws = np.full((len(trial_roles), trials), -1, np.int64)
    for row, trial, place in places:
        draws[row, trial - 1] = place - 1
    return draws


def _places(trial_roles: "pd.Series[Any]") -> Iterator[tuple[int, int, int]]:
    """Yield row, trial from 1 and place from 1."""
    for row, roles in enumerate(trial_roles):
        for trial, role in roles or ():
            if role.isdecimal():
                yield row, int(trial), int(role)
