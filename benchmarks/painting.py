"""Painting speed of synthetic worlds with JPEG, in images per second of one core.

Baseline: encoding the same finished pictures as JPEG and nothing else. Both are timed in turn in
one process, as CPU seconds of the process; rates are of the medians. Floors of the design: 350
images a second at 128x64 and 120 at 256x128.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from io import BytesIO

from PIL import Image

from reid.data.synthetic import ImageKey, Kind, WorldSpec, schedule
from reid.data.synthetic.render import Scene

FLOORS = {128: 350, 256: 120}
WORLDS: tuple[tuple[str, str, Kind], ...] = (
    ("demo", "A", "colour"),
    ("demo", "B", "colour"),
    ("demo", "A", "occluded"),
    ("demo", "A", "cross_modal"),
    ("pretrain", "AB", "unlabelled"),
    ("bench_hr", "A", "colour"),
    ("bench_hr", "A", "occluded"),
    ("bench_hr", "A", "cross_modal"),
)


def cpu_seconds(run: Callable[[], None]) -> float:
    """CPU seconds that this process spends on a call."""
    started = time.process_time()
    run()
    return time.process_time() - started


def finished(scene: Scene, keys: list[ImageKey]) -> list[tuple[Image.Image, int]]:
    """The pictures of keys and the JPEG quality of their cameras."""
    pictures: list[tuple[Image.Image, int]] = []
    for key in keys:
        picture = Image.open(BytesIO(scene.render(key).jpeg))
        picture.load()
        pictures.append((picture, scene.places[key.camera].camera.quality))
    return pictures


def compare(spec: WorldSpec, images: int, rounds: int) -> tuple[float, float]:
    """Images per second of painting with JPEG, and of JPEG alone."""
    shots = schedule(spec)
    keys = [shot.key for shot in shots[:: max(len(shots) // images, 1)]][:images]
    scene = Scene(spec)
    pictures = finished(scene, keys)  # also warms the caches of people and tracks

    def paint() -> None:
        for key in keys:
            scene.render(key)

    def encode() -> None:
        for picture, quality in pictures:
            picture.save(BytesIO(), "JPEG", quality=quality, subsampling=2)

    seconds = [(cpu_seconds(paint), cpu_seconds(encode)) for _ in range(rounds)]
    painting, encoding = (statistics.median(column) for column in zip(*seconds, strict=True))
    return len(keys) / painting, len(keys) / encoding


def main() -> None:
    """Print one line for each world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="of each world")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(f"{'world':32}{'image':>9}{'painted/s':>11}{'floor':>7}{'JPEG alone/s':>14}{'ratio':>7}")
    for size, domain, kind in WORLDS:
        spec = WorldSpec(size, domain, 0, kind)
        painted, encoded = compare(spec, options.images, options.rounds)
        height = spec.counts.height
        shape = f"{height}x{height // 2}"
        name = f"{kind} {size} {domain}"
        print(
            f"{name:32}{shape:>9}{painted:>11.0f}{FLOORS[height]:>7}{encoded:>14.0f}"
            f"{painted / encoded:>7.3f}"
        )


if __name__ == "__main__":
    main()
