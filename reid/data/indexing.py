"""From the rows of a reader to a manifest: open every file once."""

import hashlib
import io
import os
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import reid
from reid.data.manifest import SCHEMA, EthicsRecord, Manifest, ManifestMeta, count_splits
from reid.data.readers.reading import Reading, Row
from reid.errors import DataError

Progress = Callable[[int, int], None]

# What Pillow raises for damaged files, depending on the format and on where the damage is.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What opening a file tells.

    Args:
        size: Length of the file in bytes.
        sha256: Digest of the file, 32 bytes.
        width: Pixels, as stored (EXIF orientation is ignored); 0 if the image does not decode.
        height: Pixels; 0 if the image does not decode.
        mode: Pillow's name of the pixel format; empty if the image does not decode.
        phash64: Difference hash; None if the image does not decode.
    """

    size: int
    sha256: bytes
    width: int
    height: int
    mode: str
    phash64: int | None

    @property
    def broken(self) -> bool:
        """Whether the image does not decode to its last row."""
        return self.phash64 is None


def build_manifest(
    reading: Reading,
    root: Path,
    dataset: str,
    *,
    ethics: EthicsRecord | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Open every image that a reader found and write down what it is.

    Args:
        reading: What the reader made of `root`.
        root: Folder to which the paths of the rows are relative.
        dataset: Key under which the data appear everywhere.
        ethics: Terms of use of other data than the benchmark of the layout, such as pictures from
            one's own cameras; the benchmark's cameras and counts do not hold for them.
        strict: Treat an image file that the layout does not account for as an error.
        progress: Called with the number of files done and of all files.

    Raises:
        DataError: A file cannot be read, or `strict` and there are files not accounted for. An
            image that does not decode is no error here: its row gets the flag `broken`.
    """
    if strict and reading.unlisted:
        raise DataError(
            f"{dataset}: {len(reading.unlisted)} image files that the layout does not account for, "
            f"the first {reading.unlisted[0]}",
            f"none in a {reading.layout} folder",
            "Remove or rename them, or turn strict mode off.",
        )
    facts = index_files(root, [row.path for row in reading.rows], progress)
    columns = _columns(reading.rows, facts, dataset)
    meta = ManifestMeta(
        dataset=dataset,
        layout=reading.layout,
        parser_version=reading.parser_version,
        root_fingerprint=_fingerprint(reading.rows, facts),
        counts={},
        benchmark=reading.benchmark if ethics is None else None,
        camera_count=reading.camera_count if ethics is None else None,
        ethics=reading.ethics if ethics is None else ethics,
        tool_version=reid.__version__,
        unlisted=reading.unlisted,
        generator=reading.generator,
    )
    frame = Manifest.from_columns(columns, meta).frame
    return Manifest(frame, replace(meta, counts=count_splits(frame)))


def index_files(
    root: Path, paths: Sequence[str], progress: Progress | None = None
) -> list[FileFacts]:
    """Inspect files in parallel; hashing and decoding leave the interpreter lock free.

    Returns:
        The facts in the order of `paths`.
    """
    facts = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for fact in pool.map(lambda path: inspect_file(root / path), paths):
            facts.append(fact)
            if progress is not None:
                progress(len(facts), len(paths))
    return facts


def inspect_file(path: Path) -> FileFacts:
    """Hash a file and decode it completely.

    Raises:
        DataError: The file cannot be read from the disk.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror})", "an image file", "Check disk and rights."
        ) from None
    digest = hashlib.sha256(data).digest()
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            code = difference_hash(image)
            return FileFacts(len(data), digest, image.width, image.height, image.mode, code)
    except _DAMAGE:
        return FileFacts(len(data), digest, 0, 0, "", None)


def difference_hash(image: Image.Image) -> int:
    """Describe an image by 64 bits that survive scaling and recompression.

    The image is reduced to 8 rows of 9 grey pixels; a bit tells whether a pixel is brighter than
    its left neighbour. Rows from the top, the first bit is the highest.
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")


def train_labels(rows: Iterable[tuple[Row, str]]) -> dict[int | None, int]:
    """Rank the persons to train on: ascending, from 0, without a gap.

    Args:
        rows: Each row with its flag after decoding.
    """
    used = {row.pid for row, flag in rows if row.split == "train" and flag == "ok"}
    return {pid: label for label, pid in enumerate(sorted(p for p in used if p is not None))}


def _columns(rows: Sequence[Row], facts: Sequence[FileFacts], dataset: str) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = defaultdict(list)
    flags = ["broken" if fact.broken else row.flag for row, fact in zip(rows, facts, strict=True)]
    labels = train_labels(zip(rows, flags, strict=True))
    names = [field.name for field in fields(Row)]
    for row, fact, flag in zip(rows, facts, flags, strict=True):
        values = {name: getattr(row, name) for name in names}
        values |= {"dataset": dataset, "bytes": fact.size, "sha256": fact.sha256, "flag": flag}
        values |= {"width": fact.width, "height": fact.height}
        values |= {"mode": fact.mode, "phash64": fact.phash64}
        if row.pid_key is None and row.pid is not None:
            values["pid_key"] = f"{dataset}:{row.pid}"
        if row.trial_roles is not None:
            values["trial_roles"] = sorted(row.trial_roles.items())
        trained = row.split == "train" and flag == "ok"
        values["label"] = labels.get(row.pid) if trained else None
        for name in SCHEMA.names:
            columns[name].append(values[name])
    return columns


def _fingerprint(rows: Sequence[Row], facts: Sequence[FileFacts]) -> str:
    """Identify the files by name and content, whatever the layout makes of them."""
    lines = (f"{row.path}\0{fact.sha256.hex()}\n" for row, fact in zip(rows, facts, strict=True))
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
