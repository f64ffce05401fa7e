"""What every reader gives, and the rules that all readers share."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from reid.data.manifest import EthicsRecord

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

SIDECAR = "AppleDouble sidecar"
NOT_AN_IMAGE = "not an image"
OTHER_FOLDER = "folder not part of the protocol"
BAD_NAME = "name does not match the grammar"


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What a file's name and the lists of its data set say about one image.

    The fields are columns of the manifest of the same names; see `reid.data.manifest.SCHEMA`.
    Label, size and hashes are not here: `reid.data.indexing` finds them. `pid_key` is None where
    the number of the person is unique in the data set.
    """

    path: str
    split: str
    pid: int | None
    camid: int | None
    cam_raw: str | None
    flag: str = "ok"
    variant: str = ""
    alias_paths: tuple[str, ...] = ()
    trial_roles: Mapping[str, str] | None = None
    pid_key: str | None = None
    noisy_label: bool = False
    viewid: int = -1
    modality: str = "rgb"
    band: str = "visible"
    object: str = "person"
    session: str | None = None
    frame: int | None = None
    timestamp: float | None = None
    track_id: str | None = None
    occluded: bool | None = None
    occ_fraction: float | None = None
    attrs: str | None = None


@dataclasses.dataclass(frozen=True)
class Ignored:
    """A file that the reader passed over, and why."""

    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """A folder as its reader understood it, before any image is opened.

    Args:
        layout: Name of the reader.
        parser_version: To be raised whenever the same folder would give other rows.
        benchmark: The public data set that the layout was made for, of which this folder is taken
            to be a copy or a part; None if there is none.
        rows: One per image, in the order of the paths.
        ignored: Every other file.
        warnings: What the user should look at, one line each.
        unlisted: Paths of image files that the layout does not account for.
        camera_count: Cameras of the data set by its definition; None if it states none.
        ethics: Terms of use of the data set; None if it states none.
        generator: For synthetic data, what the generator recorded about itself.
    """

    layout: str
    parser_version: int
    benchmark: str | None
    rows: tuple[Row, ...]
    ignored: tuple[Ignored, ...] = ()
    warnings: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    camera_count: int | None = None
    ethics: EthicsRecord | None = None
    generator: Mapping[str, object] | None = None


def walk(root: Path) -> list[str]:
    """List the POSIX path of every file below `root`, relative to it, in byte order."""
    found = []
    for folder, _, names in os.walk(root, followlinks=True):
        inside = Path(folder).relative_to(root)
        found += [(inside / name).as_posix() for name in names]
    return sorted(found)


def is_sidecar(path: str) -> bool:
    """Tell whether a file is what macOS leaves in archives beside the real files."""
    parts = path.split("/")
    return parts[-1].startswith("._") or "__MACOSX" in parts


def is_image(path: str) -> bool:
    """Tell from the suffix, in any case, whether a file is an image."""
    return path.lower().endswith(IMAGE_SUFFIXES)
