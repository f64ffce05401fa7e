"""How bright the images of each camera are, and whether that is still as on record.

A profile is one small JSON file per data set, `params/datasets/profiles/<data set>.json`.
"""

import dataclasses
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from reid.data.manifest import Manifest, ManifestMeta
from reid.data.storage import Storage
from reid.errors import DataError
from reid.files import write_whole

SAMPLE = 64
"""Images per camera that a profile looks at."""

_REMEDY = "Write it anew with `reid data profile`."


@dataclasses.dataclass(frozen=True)
class GreyLevels:
    """Grey levels of one camera, 0 to 255, every image with equal weight.

    Args:
        mean: Of all pixels of the sample.
        std: Standard deviation of all pixels of the sample.
        images: Size of the sample.
    """

    mean: float
    std: float
    images: int


Profile = Mapping[int, GreyLevels]


def profile_path(folder: Path, meta: ManifestMeta) -> Path:
    """Say where the profile of a data set lies, a benchmark's under the name of the benchmark.

    Args:
        folder: Such as `params/datasets`.
        meta: Facts about the data set.
    """
    return folder / "profiles" / f"{meta.benchmark or meta.dataset}.json"


def measure_profile(manifest: Manifest, storage: Storage) -> dict[int, GreyLevels]:
    """Measure the grey levels of each camera on at most `SAMPLE` images.

    The sample is spread evenly over the sorted paths, so equal data give equal numbers. Files that
    are not there are passed over.

    Raises:
        DataError: An image that decoded when the manifest was built does so no longer.
    """
    rows = manifest.frame[(manifest.frame["flag"] == "ok") & manifest.frame["camid"].notna()]
    profile = {}
    cameras = rows["camid"].astype(int)
    for camera in sorted(cameras.unique().tolist()):
        paths = _spread(rows.loc[cameras == camera, "path"])
        sample = [path for path in paths if storage.has(path)]
        if sample:
            profile[camera] = _grey_levels(sample, storage)
    return profile


def write_profile(manifest: Manifest, storage: Storage, folder: Path) -> Path:
    """Measure the cameras of a data set and put the result on record.

    Args:
        manifest: The data set.
        storage: Where its images lie.
        folder: Such as `params/datasets`; the profile goes into `profiles/` below it.

    Raises:
        DataError: No image says which camera took it, or an image does not decode.
    """
    profile = measure_profile(manifest, storage)
    if not profile:
        raise DataError(
            f"{manifest.meta.dataset}: no readable image of a known camera",
            "a data set that says which camera took an image",
            "A profile by camera makes no sense for this data set.",
        )
    path = profile_path(folder, manifest.meta)
    cameras = {str(camera): dataclasses.asdict(levels) for camera, levels in profile.items()}
    write_whole(path, json.dumps({"cameras": cameras}, indent=2) + "\n")
    return path


def read_profile(path: Path) -> dict[int, GreyLevels] | None:
    """Read a profile; None if there is none.

    Raises:
        DataError: The file is damaged.
    """
    if not path.is_file():
        return None
    try:
        cameras = json.loads(path.read_text(encoding="utf-8"))["cameras"]
        return {int(camera): GreyLevels(**levels) for camera, levels in cameras.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: damaged", "a profile of grey levels", _REMEDY) from None


def compare_profiles(found: Profile, recorded: Profile) -> pd.DataFrame:
    """Say how far each camera has moved from what is on record.

    Returns:
        `subject`, and the distances `mean_drift` and `std_drift` in grey levels, one row for each
        camera that both profiles have.
    """
    rows = []
    for camera in sorted(found.keys() & recorded.keys()):
        now, then = found[camera], recorded[camera]
        subject = (
            f"camid {camera}: mean {now.mean:.1f}, std {now.std:.1f}; "
            f"on record {then.mean:.1f} and {then.std:.1f}"
        )
        rows.append((subject, abs(now.mean - then.mean), abs(now.std - then.std)))
    return pd.DataFrame(rows, columns=["subject", "mean_drift", "std_drift"])


def _spread(paths: pd.Series) -> list[str]:
    ordered = sorted(paths)
    chosen = np.linspace(0, len(ordered) - 1, min(SAMPLE, len(ordered))).round().astype(int)
    return [ordered[number] for number in chosen]


def _grey_levels(paths: list[str], storage: Storage) -> GreyLevels:
    grey = [_read_grey(path, storage) for path in paths]
    mean = float(np.mean([image.mean() for image in grey]))
    square = float(np.mean([np.square(image).mean() for image in grey]))
    return GreyLevels(round(mean, 3), round(max(0.0, square - mean**2) ** 0.5, 3), len(grey))


def _read_grey(path: str, storage: Storage) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    try:
        with Image.open(io.BytesIO(storage.read(path))) as image:
            return np.asarray(image.convert("L"), np.float64)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be decoded ({error})",
            "the image that the manifest lists",
            "Restore the file, then build and validate the data set again.",
        ) from None
