"""From the rows of a reader to a manifest file: every image is opened once, memory stays bounded.

Three passes over the rows. The first opens every file that is new or changed and keeps what it
found in a `FactStore`; a killed index goes on there. The second ranks the persons to train on, for
which it must be known which images are broken. The third writes the manifest block by block.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import fields
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

import reid
from reid.data.fact_store import FactStore
from reid.data.inspection import FileFacts, inspect_images
from reid.data.manifest import EthicsRecord, ManifestMeta
from reid.data.manifest_writer import ManifestWriter
from reid.data.readers.reading import Reading, Row
from reid.data.storage import Storage
from reid.errors import DataError
from reid.workers import worker_pool

Progress = Callable[[int, int], None]
_Item = TypeVar("_Item")

_CHUNK = 250
_BLOCK = 20_000
_WORTH_PROCESSES = 5_000
"""Files from which on starting processes costs less than it saves."""


def build_manifest(
    reading: Reading,
    storage: Storage,
    dataset: str,
    target: Path,
    facts: Path,
    *,
    ethics: EthicsRecord | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> ManifestMeta:
    """Open every image that a reader found and write down what it is.

    Args:
        reading: What the reader made of `storage`.
        storage: Where the images lie.
        dataset: Key under which the data appear everywhere.
        target: Manifest to write; it appears when it is complete.
        facts: Where what opening the files told is remembered; a `FactStore`.
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
    with FactStore(facts) as store:
        index_files(storage, (row.path for row in reading.rows), store, progress)
        broken = store.broken()
        labels = train_labels(reading.rows, broken)
        with ManifestWriter(target) as writer:
            for rows in _blocks(reading.rows, _BLOCK):
                known = store.load([row.path for row in rows])
                writer.write(_columns(rows, [known[row.path][1] for row in rows], dataset, labels))
            return writer.finish(_meta(reading, dataset, ethics))


def index_files(
    storage: Storage, paths: Iterable[str], store: FactStore, progress: Progress | None = None
) -> None:
    """Open the files that the store does not know in their present state.

    Args:
        storage: Where the files lie.
        paths: Their paths in byte order.
        store: Receives what is found, every few hundred files.
        progress: Called with the number of files done and of all files.
    """
    everything = list(paths)
    for before, path in pairwise(everything):
        if before >= path:
            raise ValueError(f"{path} comes after {before}: rows out of order")
    done = 0
    for stamps, facts in _inspect_changed(storage, everything, store):
        if facts is not None:
            store.save((path, stamps[path], fact) for path, fact in zip(stamps, facts, strict=True))
        done += len(stamps)
        if progress is not None:
            progress(done, len(everything))


Inspected = tuple[dict[str, str], list[FileFacts] | None]
"""Paths with stamps, and what opening the files told; None for what was known already."""


def _inspect_changed(
    storage: Storage, paths: Sequence[str], store: FactStore
) -> Iterator[Inspected]:
    """Give chunks of known files at once, and chunks of others when they are inspected.

    With many files, processes do the decoding; this one reads, for then only it needs the index of
    an archive.
    """
    workers = (os.cpu_count() or 1) if len(paths) >= _WORTH_PROCESSES else 0
    if not workers:
        for known, new in _sort_known(storage, paths, store):
            yield known, None
            yield new, inspect_images(_read(storage, new))
        return
    waiting: deque[tuple[dict[str, str], Future[list[FileFacts]]]] = deque()
    with worker_pool(workers) as pool:
        for known, new in _sort_known(storage, paths, store):
            yield known, None
            if new:
                waiting.append((new, pool.submit(inspect_images, _read(storage, new))))
            while len(waiting) > 3 * workers:
                stamps, future = waiting.popleft()
                yield stamps, future.result()
        while waiting:
            stamps, future = waiting.popleft()
            yield stamps, future.result()


def _read(storage: Storage, paths: Iterable[str]) -> list[tuple[str, bytes]]:
    return [(path, storage.read(path)) for path in paths]


def _sort_known(
    storage: Storage, paths: Sequence[str], store: FactStore
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Part chunks of files into those known in their present state and the others."""
    for chunk in _blocks(paths, _CHUNK):
        stored = store.load(chunk)
        stamps = {path: storage.stamp(path) for path in chunk}
        known = {p: s for p, s in stamps.items() if p in stored and stored[p][0] == s}
        yield known, {path: stamp for path, stamp in stamps.items() if path not in known}


def train_labels(rows: Iterable[Row], broken: set[str]) -> dict[int, int]:
    """Rank the persons to train on: ascending, from 0, without a gap.

    Args:
        rows: All rows.
        broken: Paths of images that do not decode.
    """
    used = {
        row.pid
        for row in rows
        if row.split == "train" and row.flag == "ok" and row.path not in broken
    }
    return {pid: label for label, pid in enumerate(sorted(p for p in used if p is not None))}


def _columns(
    rows: Sequence[Row], facts: Sequence[FileFacts], dataset: str, labels: dict[int, int]
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        field.name: [getattr(row, field.name) for row in rows] for field in fields(Row)
    }
    for name in ("sha256", "width", "height", "mode", "phash64"):
        columns[name] = [getattr(fact, name) for fact in facts]
    columns["bytes"] = [fact.size for fact in facts]
    columns["dataset"] = [dataset] * len(rows)
    flags = ["broken" if f.broken else row.flag for row, f in zip(rows, facts, strict=True)]
    columns["flag"] = flags
    columns["pid_key"] = [_pid_key(row, dataset) for row in rows]
    columns["trial_roles"] = [row.trial_roles and sorted(row.trial_roles.items()) for row in rows]
    columns["label"] = [
        labels[row.pid] if row.split == "train" and flag == "ok" and row.pid is not None else None
        for row, flag in zip(rows, flags, strict=True)
    ]
    return columns


def _pid_key(row: Row, dataset: str) -> str | None:
    if row.pid is None:
        return None
    return ":".join(filter(None, (dataset, row.pid_space, str(row.pid))))


def _meta(reading: Reading, dataset: str, ethics: EthicsRecord | None) -> ManifestMeta:
    """Collect what holds for all rows; the writer adds what it counts."""
    return ManifestMeta(
        dataset=dataset,
        layout=reading.layout,
        parser_version=reading.parser_version,
        root_fingerprint="",
        counts={},
        benchmark=reading.benchmark if ethics is None else None,
        camera_count=reading.camera_count if ethics is None else None,
        ethics=reading.ethics if ethics is None else ethics,
        tool_version=reid.__version__,
        unlisted=reading.unlisted,
        generator=reading.generator,
    )


def _blocks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block
