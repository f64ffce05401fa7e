"""What the gate looks at: a data set, and what is known of it from elsewhere."""

import dataclasses
from collections.abc import Mapping, Sequence

import pandas as pd

from reid.data.manifest import Manifest
from reid.data.storage import Storage
from reid.validation.official import UNKNOWN_CAMERAS, CameraFacts, OfficialCount
from reid.validation.profile import GreyLevels


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """A data set and what it is held against.

    Args:
        manifest: The data set.
        storage: Where its images lie.
        exclude_same_camera: Whether the evaluation drops gallery images of the query's person that
            the query's own camera took.
        official: Counts that the data set must have; none for a subset, which need not show
            every camera in training either.
        cameras: What its cameras give, and where they stand.
        others: Data sets whose test images must not be among those to pretrain on.
        profile: Grey levels per camera that are on record; None if there are none.
    """

    manifest: Manifest
    storage: Storage
    exclude_same_camera: bool = True
    official: Sequence[OfficialCount] = ()
    cameras: CameraFacts = UNKNOWN_CAMERAS
    others: Sequence[Manifest] = ()
    profile: Mapping[int, GreyLevels] | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The rows of the manifest."""
        return self.manifest.frame
