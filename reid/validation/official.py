"""What is known of public data sets: their counts and cameras, `params/datasets/official.yaml`."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import Field

from reid.data.manifest import ManifestMeta, count_splits
from reid.errors import DataError
from reid.params import Params, parse_params, read_yaml

CELLS = ("images", "ids", "cams", "junk", "distractors")


class OfficialCount(Params):
    """What one source says about one split; a count that is not given is not compared.

    Attributes:
        split: Split of the manifest; `all` for the data set as a whole.
        modality: Only images of this modality; all images if None.
        images: Images without junk.
        ids: Identities that are scored, without distractors.
        cams: Cameras.
        junk: Images that are never scored.
        distractors: Images that are only ever wrong answers.
        tolerance: Difference that still counts as equal, as a fraction of the count: for sources
            that say `about`.
        source: Who says so.
        confidence: `measured` by us, `upstream` code, or `literature` alone. A difference from
            literature is a warning, from anything else an error.
    """

    split: Literal["train", "val", "query", "gallery", "test_pool", "pretrain", "all"]
    modality: Literal["rgb", "ir"] | None = None
    images: int | None = None
    ids: int | None = None
    cams: int | None = None
    junk: int | None = None
    distractors: int | None = None
    tolerance: float = Field(0.0, ge=0, lt=1)
    source: str
    confidence: Literal["measured", "upstream", "literature"]

    def cells(self) -> dict[str, int]:
        """The counts that are given, by name."""
        given = {name: getattr(self, name) for name in CELLS}
        return {name: value for name, value in given.items() if value is not None}


class CameraFacts(Params):
    """What the cameras of a data set give and where they stand.

    Attributes:
        rgb: Cameras (`camid`) that give colour images.
        ir: Cameras that give infrared images; a camera may be in both lists. Both lists empty:
            nobody knows, and each camera is expected to give one modality only.
        places: Camera to the camera whose place it shares; the others stand alone.
        source: Who says so.
    """

    rgb: tuple[int, ...] = ()
    ir: tuple[int, ...] = ()
    places: dict[int, int] = Field(default_factory=dict)
    source: str

    @cached_property
    def gives(self) -> set[tuple[int, str]]:
        """Pairs of camera and modality that occur."""
        return {(camera, "rgb") for camera in self.rgb} | {(camera, "ir") for camera in self.ir}


UNKNOWN_CAMERAS = CameraFacts(source="nobody")


class OfficialTable(Params):
    """Official counts and cameras by data set key."""

    datasets: dict[str, list[OfficialCount]]
    cameras: dict[str, CameraFacts] = Field(default_factory=dict)


def read_official(path: Path, meta: ManifestMeta) -> list[OfficialCount]:
    """Look up the benchmark of which a data set claims to be a complete copy.

    Raises:
        ParamsError: The table is missing or malformed.
        DataError: The table does not have the benchmark, or there is none.
    """
    datasets = _read_table(path).datasets
    if meta.benchmark not in datasets:
        raise DataError(
            f"{meta.dataset}: no official counts of benchmark {meta.benchmark}",
            f"one of {', '.join(sorted(datasets))}",
            "Set official: false for a subset or for data of your own.",
        )
    return datasets[meta.benchmark]


def read_cameras(path: Path, meta: ManifestMeta) -> CameraFacts:
    """Look up the cameras of a data set; `UNKNOWN_CAMERAS` if the table does not have them.

    A copy or part of a benchmark is looked up under the benchmark, other data under their own key.

    Raises:
        ParamsError: The table is missing or malformed.
    """
    return _read_table(path).cameras.get(meta.benchmark or meta.dataset, UNKNOWN_CAMERAS)


def compare_counts(
    frame: pd.DataFrame, official: Sequence[OfficialCount], literature: bool
) -> pd.DataFrame:
    """Compare a manifest with the official counts, cell by cell.

    Args:
        frame: Rows of the manifest.
        official: Counts that the data set must have.
        literature: Look at what is known from literature alone, or at everything else.

    Returns:
        `subject` says what was found and what is official, `agrees` whether it agrees.
    """
    rows = []
    for entry in official:
        if (entry.confidence == "literature") == literature:
            counts = _count(frame, entry)
            for name, expected in entry.cells().items():
                found = counts.get(name, 0)
                agrees = abs(found - expected) <= entry.tolerance * expected
                rows.append((_name(entry, name, found, expected), agrees))
    return pd.DataFrame(rows, columns=["subject", "agrees"])


def _count(frame: pd.DataFrame, entry: OfficialCount) -> Mapping[str, int]:
    if entry.modality is not None:
        frame = frame[frame["modality"] == entry.modality]
    if entry.split == "all":
        frame = frame[frame["split"] != "ignored"].assign(split="all")
    return count_splits(frame[frame["split"] == entry.split]).get(entry.split, {})


def _name(entry: OfficialCount, name: str, found: int, expected: int) -> str:
    what = " ".join(filter(None, (entry.split, entry.modality, name)))
    return f"{what}: {found}, officially {'about ' if entry.tolerance else ''}{expected}"


def _read_table(path: Path) -> OfficialTable:
    return parse_params(read_yaml(path), OfficialTable, str(path))
