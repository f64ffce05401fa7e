"""`reid data add`: from a download to a registered dataset, or to one line and no trace."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reid.data.manifest import ManifestMeta
from reid.data.readers import READERS, Reading, recognise
from reid.data.storage import Storage, open_storage
from reid.data.storage.compressed import decompress, is_compressed
from reid.data.storage.shards import pack_files
from reid.errors import DataError, ParamsError
from reid.files import whole_folder, write_whole
from reid.params import nearest, parse_params
from reid.progress import progress
from reid.stages.counts import counts_table, differs_from_official
from reid.stages.data import index_entry, read_entry
from reid.stages.paths import manifest_file, registration_file
from reid.study import DATA_FOLDER, PRETRAIN_SUITE, DatasetEntry, FilesSource, Terms

RAW = Path("raw")
CUHK03_NEW = "cuhk03_np"
"""Start of the benchmarks of CUHK03 that have queries and gallery."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


@dataclass(frozen=True)
class Wish:
    """What the user says about a dataset that is to be registered.

    Args:
        name: Name under which studies and commands will know it.
        path: Folder or archive as downloaded.
        link: Leave the files where they are; else they are copied to `raw/` and put under DVC.
        layout: Name of the reader; None to recognise it.
        options: Options of the reader.
        terms: Terms of use, for data of one's own.
        acknowledge_withdrawn: Who uses withdrawn data, and why.
        origin: Where the files came from.
    """

    name: str
    path: Path
    link: bool = False
    layout: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    terms: Terms | None = None
    acknowledge_withdrawn: str | None = None
    origin: str | None = None


def wish_of(
    name: str,
    path: Path,
    link: bool,
    option: list[str],
    licence: str | None,
    status: str | None,
    consent: str | None,
    **more: Any,
) -> Wish:
    """Check what the command line gives.

    Args:
        option: `key=value` each; the value is read as YAML, so that `true` and `3` are no words.
        licence, status, consent: Terms of use, all three or none.
        more: Further fields of `Wish`.

    Raises:
        ParamsError: A word is malformed.
    """
    if not _NAME.fullmatch(name):
        expected = "lower-case letters, digits and underscores, such as market1501"
        raise ParamsError(f"name '{name}'", expected, "Choose another name.")
    terms = None
    if licence or status or consent:
        given = {"licence": licence, "status": status, "consent": consent}
        terms = parse_params({k: v for k, v in given.items() if v}, Terms, "terms of use")
    options = {}
    for text in option:
        key, equals, value = text.partition("=")
        if not equals:
            raise ParamsError(f"option '{text}'", "key=value", "Correct the option.")
        options[key] = yaml.safe_load(value) if not value.startswith("{") else value
    return Wish(name=name, path=path, link=link, terms=terms, options=options, **more)


def add_dataset(wish: Wish) -> None:
    """Register a dataset: read it, index it, place it in `raw/`, write the registration.

    Raises:
        ParamsError: The name is taken, or a choice makes no sense.
        DataError: The files are not a data set that can be read; nothing is left behind.
    """
    card = registration_file(wish.name)
    if card.exists():
        found, expected = f"{card}: {wish.name} is registered already", "a new name"
        raise ParamsError(found, expected, f"Choose another name, or remove {card} first.")
    with _staged(wish) as (root, place):
        storage = open_storage(root)
        entry = _entry(wish, storage, place)
        reading = read_entry(storage, entry)
        _require_terms(wish, reading)
        target = manifest_file(wish.name)
        with _removed_on_failure(target.parent), _removed_on_failure(place):
            _place(wish, storage, reading, place)
            with whole_folder(target.parent) as folder:
                kept = open_storage(place)
                meta = index_entry(wish.name, entry, kept, reading, folder / target.name)
            if not place.is_symlink():
                _track(place)
            entry = _settled(entry, meta)
            _write(card, entry)
    _tell(wish, entry, meta, reading)


@contextmanager
def _staged(wish: Wish) -> Iterator[tuple[Path, Path]]:
    """Yield the files to read, and where they will lie; a compressed tar is unwrapped first."""
    path, place = wish.path, RAW / wish.name
    if not path.exists():
        raise DataError(f"{path}: no such file or folder", "a data set", "Check the path.")
    if is_compressed(path):
        if wish.link:
            raise ParamsError(
                f"{path}: a compressed tar archive cannot be linked",
                "a folder, a zip or a plain tar archive",
                "Use --copy, which stores it decompressed.",
            )
        part = RAW / f".{wish.name}.part"
        with _removed_on_failure(part), progress(f"{wish.name}: decompress") as advance:
            decompress(path, part, advance)
        try:
            yield part, _free(place.with_suffix(".tar"), path)
        finally:
            part.unlink(missing_ok=True)
        return
    suffix = "" if path.is_dir() else path.suffix.lower()
    yield path, _free(place.with_name(f"{wish.name}{suffix}"), path)


def _free(place: Path, path: Path) -> Path:
    """Check that nothing else lies where the data shall."""
    if os.path.lexists(place) and not (path.exists() and place.resolve() == path.resolve()):
        raise ParamsError(
            f"{place} exists",
            "no such file yet",
            f"Register it where it is with `reid data add NAME {place}`, or remove it.",
        )
    return place


def _entry(wish: Wish, storage: Storage, place: Path) -> DatasetEntry:
    layout = wish.layout or recognise(storage)
    if layout == "synthetic" or layout not in READERS:
        known = sorted(set(READERS) - {"synthetic"})
        found = f"layout '{layout}'{nearest(layout, known)}"
        raise ParamsError(found, f"one of {', '.join(known)}", "Correct the layout.")
    reader = READERS[layout]
    source = FilesSource(
        reader=layout,
        options=wish.options,
        terms=wish.terms,
        acknowledge_withdrawn=wish.acknowledge_withdrawn,
    )
    pretraining = reader.suite == PRETRAIN_SUITE
    return DatasetEntry(
        made_from=place,
        compared_with=DATA_FOLDER if pretraining else manifest_file(wish.name).parent,
        source=source,
        suite=reader.suite,
        protocols=reader.protocols,
        origin=wish.origin or wish.path.name,
    )


def _require_terms(wish: Wish, reading: Reading) -> None:
    if reading.ethics is None and wish.terms is None:
        raise ParamsError(
            f"{wish.name}: nobody states the terms of use",
            "licence, status and consent for data of your own",
            "Add --licence TEXT --status open|research|agreement --consent yes|no|unknown.",
        )


def _settled(entry: DatasetEntry, meta: ManifestMeta) -> DatasetEntry:
    """Fill in what only the images tell: is the set complete, and how is it scored?"""
    source = entry.source
    if not isinstance(source, FilesSource):
        return entry
    complete = meta.benchmark is not None and not differs_from_official(meta)
    source = source.model_copy(update={"official": complete})
    return entry.model_copy(update={"source": source, "protocols": _protocols(entry, meta)})


def _protocols(entry: DatasetEntry, meta: ManifestMeta) -> tuple[str, ...]:
    cameras = max((split["cams"] for split in meta.counts.values()), default=0)
    if meta.benchmark is None and cameras < 2 and entry.protocols == ("market",):
        return ("no_camera",)
    if meta.benchmark is not None and meta.benchmark.startswith(CUHK03_NEW):
        return ("market",)  # an option of the classic layout, which else has protocols of its own
    return entry.protocols


def _place(wish: Wish, storage: Storage, reading: Reading, place: Path) -> None:
    """Copy, pack, link or rename the files to their place.

    A folder of images is packed into shards: one file for each image would burden DVC's cache and
    every copy of it. Databases and other containers are copied as they are.
    """
    root = storage.root
    place.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(place):
        return
    if wish.link:
        place.symlink_to(root.resolve())
        return
    if root.parent == place.parent and root.name.startswith("."):
        root.replace(place)
        return
    part = place.with_name(f".{place.name}.part")
    _remove(part)  # what a killed command left
    with _removed_on_failure(part), progress(f"{wish.name}: copy") as advance:
        if root.is_file():
            shutil.copy2(root, part)
        elif any("://" in row.path for row in reading.rows):
            _copy(storage, part, advance)
        else:
            pack_files(storage, storage.files(), part, advance)
        part.replace(place)


def _copy(storage: Storage, part: Path, advance: Callable[[int, int], None]) -> None:
    paths = storage.files()
    for done, path in enumerate(paths, start=1):
        (part / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(storage.root / path, part / path)
        advance(done, len(paths))


def _track(place: Path) -> None:
    """Put the files under DVC as one item, in a project that has DVC."""
    if not Path(".dvc").is_dir():
        return
    before = place.stat()
    command = [sys.executable, "-m", "dvc", "add", "--quiet", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(
            f"{place}: DVC does not take it ({reason})", "a file under DVC", "Mend the cause."
        )
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))  # DVC relinks files as new


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    """Remove what the block made of a file or folder, and DVC's record of it, if it raises.

    What was there before the block stays: it may be the only copy of the user's data.
    """
    made = [
        rest for rest in (path, path.with_name(f"{path.name}.dvc")) if not os.path.lexists(rest)
    ]
    try:
        yield
    except BaseException:
        for rest in made:
            _remove(rest)
        raise


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _write(card: Path, entry: DatasetEntry) -> None:
    card.parent.mkdir(parents=True, exist_ok=True)
    content = entry.model_dump(mode="json", exclude_none=True)
    write_whole(card, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _tell(wish: Wish, entry: DatasetEntry, meta: ManifestMeta, reading: Reading) -> None:
    print(counts_table(meta))
    for warning in reading.warnings:
        print(f"warning: {wish.name}: {warning}")
    for split, counts in meta.counts.items():
        if counts["broken"]:
            broken = f"{counts['broken']} of {split} do not decode"
            print(f"warning: {wish.name}: {broken}; `reid data check {wish.name}` names them")
    how = "linked to" if entry.made_from.is_symlink() else "kept, under DVC, as"
    print(f"{wish.name}: layout {meta.layout}, {how} {entry.made_from}")
    print(f"Registered in {registration_file(wish.name)}. Next: reid data check {wish.name}")
