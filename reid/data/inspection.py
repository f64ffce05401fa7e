"""What opening an image file tells: digest, size, perceptual hash, and whether it is whole."""

import hashlib
import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from reid.errors import DataError

LARGEST_IMAGE = 100_000_000
"""Pixels beyond which a file is refused: decoding it would fill the memory."""

Image.MAX_IMAGE_PIXELS = LARGEST_IMAGE // 2  # the library refuses from twice this number on

# What Pillow raises for damaged files, depending on the format and on where the damage is.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error)

_HASH_SIZE = (9, 8)


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


def inspect_images(files: Iterable[tuple[str, bytes]]) -> list[FileFacts]:
    """Inspect some files, given by path and content, one after another."""
    return [inspect_image(data, name) for name, data in files]


def inspect_image(data: bytes, name: str) -> FileFacts:
    """Hash a file and decode it to its end.

    A JPEG is decoded at the smallest scale that the hash needs, which reads all of its data but
    spares most of the arithmetic.

    Args:
        data: The bytes of the file.
        name: Path of the file, for the message.

    Raises:
        DataError: The image claims more than `LARGEST_IMAGE` pixels.
    """
    digest = hashlib.sha256(data).digest()
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height, mode = image.width, image.height, image.mode
            image.draft("L", _HASH_SIZE)
            image.load()
            return FileFacts(len(data), digest, width, height, mode, difference_hash(image))
    except Image.DecompressionBombError:
        raise DataError(
            f"{name}: an image of more than {LARGEST_IMAGE:,} pixels",
            "the crop of one person or vehicle",
            "Remove the file.",
        ) from None
    except _DAMAGE:
        return FileFacts(len(data), digest, 0, 0, "", None)


def difference_hash(image: Image.Image) -> int:
    """Describe an image by 64 bits that survive scaling and recompression.

    The image is reduced to 8 rows of 9 grey pixels; a bit tells whether a pixel is brighter than
    its left neighbour. Rows from the top, the first bit is the highest.
    """
    grey = np.asarray(image.convert("L").resize(_HASH_SIZE, Image.Resampling.BOX))
    bits = np.packbits(grey[:, 1:] > grey[:, :-1])
    return int.from_bytes(bits.tobytes(), "big")
