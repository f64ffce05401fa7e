"""Building of manifests: time and peak memory, on a tree as large as Market-1501 and on tar shards.

Baseline: the same files, each hashed and decoded in full by one process, measured in turns with the
index on a sample. Images are tiny and made here; every file has bytes of its own. The second call
opens changed files only. Usage: python benchmarks/manifest.py --shard-images 1000000
"""

import argparse
import hashlib
import io
import json
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

PEOPLE_EACH = 20
FILES_PER_SHARD = 10_000
SAMPLE = 8_000


def tiny_jpegs(width: int, height: int, count: int = 64) -> list[bytes]:
    """Smooth pictures, about as large as crops of that size are."""
    draw = np.random.default_rng(0)
    made = []
    for _ in range(count):
        coarse = draw.integers(0, 256, (max(height // 8, 2), max(width // 8, 2), 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((width, height)).save(buffer, "JPEG", quality=85)
        made.append(buffer.getvalue())
    return made


def write_tree(root: Path, images: int) -> None:
    """Write a tree in the layout of Market-1501: about 40 % train, 10 % query, 50 % gallery."""
    pictures = tiny_jpegs(64, 128)
    for folder in ("bounding_box_train", "query", "bounding_box_test"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        person, index = divmod(number, PEOPLE_EACH)
        train = person < 0.4 * images / PEOPLE_EACH
        folder = "bounding_box_train" if train else "query" if index < 4 else "bounding_box_test"
        name = f"{person + 1:04}_c{index % 6 + 1}s1_{number:06}_{index:02}.jpg"
        # what follows the picture makes the file one of its own; decoders do not look at it
        (root / folder / name).write_bytes(pictures[number % 64] + number.to_bytes(4, "big"))


def write_shards(root: Path, images: int) -> None:
    """Write tar shards whose members have the layout of LUPerson."""
    pictures = tiny_jpegs(32, 64)
    root.mkdir()
    for shard, first in enumerate(range(0, images, FILES_PER_SHARD)):
        video = f"XX/Town/XX+Town+v{shard:04}.mp4"
        with tarfile.open(root / f"{shard:05}.tar", "w") as archive:
            for number in range(first, min(first + FILES_PER_SHARD, images)):
                data = pictures[number % 64] + number.to_bytes(4, "big")
                header = tarfile.TarInfo(f"{video}/{number:08}_0000.jpg")
                header.size = len(data)
                archive.addfile(header, io.BytesIO(data))


def index(layout: str, root: Path, work: Path) -> None:
    """Index a data set once in this process, and print seconds and peak memory as JSON."""
    from reid.data.indexing import build_manifest
    from reid.data.readers import read_layout
    from reid.data.storage import open_storage

    start = time.perf_counter()
    storage = open_storage(root)
    reading = read_layout(layout, storage)
    build_manifest(reading, storage, "set", work / "manifest.parquet", work / "facts.sqlite")
    seconds = time.perf_counter() - start
    peaks = [resource.getrusage(who).ru_maxrss for who in _PROCESSES]
    print(json.dumps({"seconds": seconds, "peak_mb": [round(peak / 1024) for peak in peaks]}))


_PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def measure(layout: str, root: Path, work: Path) -> dict[str, float | list[int]]:
    """Index in a fresh process, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--index", layout, str(root), str(work)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float | list[int]] = json.loads(done.stdout)
    return result


def baseline(images: Iterator[bytes]) -> float:
    """Images per second of one process that hashes and decodes in full."""
    start, count = time.perf_counter(), 0
    for data in images:
        hashlib.sha256(data).digest()
        with Image.open(io.BytesIO(data)) as image:
            np.asarray(image.convert("RGB"))
        count += 1
    return count / (time.perf_counter() - start)


def report(name: str, layout: str, root: Path, images: int, work: Path) -> None:
    """Print both calls beside the baseline, which is measured before each."""
    from reid.data.readers import read_layout
    from reid.data.storage import open_storage

    storage = open_storage(root)
    paths = []
    for row in read_layout(layout, storage).rows:
        paths.append(row.path)
        if len(paths) == SAMPLE:
            break
    before = baseline(storage.read(path) for path in paths)
    first = measure(layout, root, work)
    after = baseline(storage.read(path) for path in paths)
    again = measure(layout, root, work)
    plain = (before + after) / 2
    for call, result in (("first call", first), ("second call", again)):
        rate = images / float(result["seconds"])  # type: ignore[arg-type]
        own, worker = result["peak_mb"]  # type: ignore[misc]
        print(
            f"{name:28} {call:12} {result['seconds']:7.1f} s {rate:8.0f} images/s "
            f"{rate / plain:5.1f} x one process decoding in full ({plain:.0f}/s); "
            f"peak {own} MB, largest worker {worker} MB"
        )


def main() -> None:
    """Make the data sets, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tree-images", type=int, default=32_668, help="default: Market-1501's")
    parser.add_argument("--shard-images", type=int, default=50_000, help="default: 50000")
    parser.add_argument("--index", nargs=3, metavar=("LAYOUT", "ROOT", "WORK"), help="internal")
    options = parser.parse_args()
    if options.index:
        layout, root, work = options.index
        index(layout, Path(root), Path(work))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_tree(work / "tree", options.tree_images)
        (work / "a").mkdir()
        report(
            "tree like Market-1501", "market1501", work / "tree", options.tree_images, work / "a"
        )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_shards(work / "shards", options.shard_images)
        (work / "b").mkdir()
        report(
            "tar shards like LUPerson",
            "luperson",
            work / "shards",
            options.shard_images,
            work / "b",
        )


if __name__ == "__main__":
    main()
