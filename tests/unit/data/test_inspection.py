"""A file is opened once, to its end; damage is a fact, a bomb an error."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from reid.data.inspection import difference_hash, inspect_image
from reid.errors import DataError


def jpeg(seed: int, width: int = 32, height: int = 64, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_facts_of_a_sound_image(mode: str) -> None:
    data = jpeg(0, 30, 50, mode)
    facts = inspect_image(data, "a.jpg")
    assert (facts.width, facts.height, facts.mode) == (30, 50, mode)
    assert (facts.size, facts.sha256) == (len(data), hashlib.sha256(data).digest())
    assert not facts.broken


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", jpeg(1)[:-400], jpeg(1, 256, 512)[:-400], b"\x89PNG\r\n\x1a\nrubbish"],
)
def test_damage_is_a_fact_and_no_error(data: bytes) -> None:
    facts = inspect_image(data, "a.jpg")
    assert facts.broken
    assert (facts.width, facts.height, facts.mode, facts.size) == (0, 0, "", len(data))


def test_an_image_that_would_fill_the_memory_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"big\.png: an image of more than 100,000,000 pixels"):
        inspect_image(png_that_claims(60_000, 60_000), "big.png")


def test_difference_hash_follows_brightness() -> None:
    ramp = np.tile(np.arange(0, 90, 10, dtype=np.uint8), (8, 1))
    assert difference_hash(Image.fromarray(ramp)) == 2**64 - 1
    assert difference_hash(Image.fromarray(ramp[:, ::-1].copy())) == 0
    ramp[0, 0] = 255
    assert difference_hash(Image.fromarray(ramp)) == 2**63 - 1


def test_difference_hash_survives_scaling() -> None:
    coarse = np.random.default_rng(3).integers(0, 256, (8, 9), dtype=np.uint8)
    image = Image.fromarray(coarse)
    assert difference_hash(image.resize((90, 160), Image.Resampling.NEAREST)) == difference_hash(
        image
    )
