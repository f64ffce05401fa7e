"""Keyed random generators: every draw of a world is a function of its name alone.

There is no global generator and no order of draws, so image k painted alone equals image k of a
full run, whatever the number of processes.
"""

import hashlib

import numpy as np


def generator(*parts: int | str) -> np.random.Generator:
    """Make the generator of one draw.

    Args:
        parts: Name of the draw, for example seed, domain, purpose and numbers; joined by slashes.

    Returns:
        PCG64 seeded with the 128-bit BLAKE2b of the joined text.
    """
    text = "/".join(str(part) for part in parts)
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def uniform(draw: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw uniformly between two bounds."""
    low, high = bounds
    return low + (high - low) * draw.random()
