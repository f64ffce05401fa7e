"""What every reader gives, and the rules that all readers share."""

import dataclasses
from collections.abc import Iterable, Mapping

from reid.data.manifest import EthicsRecord

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

SIDECAR = "AppleDouble sidecar"
NOT_AN_IMAGE = "not an image"
LIST_FILE = "list file"
LABEL_FILE = "label file"
OTHER_FOLDER = "folder not part of the protocol"
BAD_NAME = "name does not match the grammar"
UNLISTED = "not in any list file"

_ACCIDENTS_SHOWN = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What a file's name and the lists of its data set say about one image.

    The fields are columns of the manifest of the same names; see `reid.data.manifest.SCHEMA`.
    Label, size and hashes are not here: `reid.data.indexing` finds them. `pid_space` separates
    persons where a data set numbers its parts independently: two persons are the same only if
    both space and number are.
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
    pid_space: str = ""
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
    """A data set as its reader understood it, before any image is opened.

    Args:
        layout: Name of the reader.
        parser_version: To be raised whenever the same files would give other rows.
        benchmark: The public data set of which these files are taken to be a copy or a part, a key
            of the official counts; None if there is none.
        rows: One per image, in the byte order of the paths. They can be gone through again; a
            reader of millions of images makes them as they are asked for.
        ignored: Every other file.
        notes: What else the user should look at, one line each.
        camera_count: Cameras of the data set by its definition; None if it states none.
        ethics: Terms of use of the data set; None if it states none.
        generator: For synthetic data, what the generator recorded about itself.
    """

    layout: str
    parser_version: int
    benchmark: str | None
    rows: Iterable[Row]
    ignored: tuple[Ignored, ...] = ()
    notes: tuple[str, ...] = ()
    camera_count: int | None = None
    ethics: EthicsRecord | None = None
    generator: Mapping[str, object] | None = None

    @property
    def unlisted(self) -> tuple[str, ...]:
        """Paths of image files that the layout does not account for."""
        return tuple(file.path for file in self._accidents)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should look at: the first of those images by path, then the notes."""
        odd = self._accidents
        lines = [f"{file.path}: ignored, {file.reason}" for file in odd[:_ACCIDENTS_SHOWN]]
        if len(odd) > _ACCIDENTS_SHOWN:
            lines.append(f"and {len(odd) - _ACCIDENTS_SHOWN} more image files ignored")
        return (*lines, *self.notes)

    @property
    def _accidents(self) -> list[Ignored]:
        return [f for f in self.ignored if f.reason in (BAD_NAME, UNLISTED) and is_image(f.path)]


def is_sidecar(path: str) -> bool:
    """Tell whether a file is what macOS leaves in archives beside the real files."""
    parts = path.split("/")
    return parts[-1].startswith("._") or "__MACOSX" in parts


def is_image(path: str) -> bool:
    """Tell from the suffix, in any case, whether a file is an image."""
    return path.lower().endswith(IMAGE_SUFFIXES)
