"""The layouts of LUPerson and LUPerson-NL: millions of images of people in street videos.

Both come as a folder tree, as an LMDB database, or as tar shards whose members have the layout of
the tree: `<country>/<city>/<video>/<image>`, where the level of the video may be missing. Persons
of LUPerson are unknown; those of LUPerson-NL are what a tracker took for one person.

The lists of keys beside a database are pickles, which could run code when they are loaded. They
say nothing that the keys do not, so they are never opened.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import CONTAINER
from reid.data.readers.luperson_names import (
    LUPERSON,
    LUPERSON_NL,
    Form,
    make_row,
    parse_row,
    place_of,
)
from reid.data.readers.reading import (
    BAD_NAME,
    NOT_AN_IMAGE,
    SIDECAR,
    Ignored,
    Reading,
    Row,
    is_image,
    is_sidecar,
)
from reid.data.storage import Storage, container_path
from reid.errors import DataError

PARSER_VERSION = 1
KEY_LIST = "key list"
DATABASE_FILES = ("data.mdb", "lock.mdb")
ETHICS = EthicsRecord(
    licence="research use only, commercial use forbidden; frames of public videos",
    status="research",
    consent="no",
)


@dataclass(frozen=True)
class LazyRows:
    """Rows that are made anew each time they are gone through.

    Args:
        make: Starts to make them.
    """

    make: Callable[[], Iterator[Row]]

    def __iter__(self) -> Iterator[Row]:
        return self.make()


def is_luperson(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is a tree or a database of LUPerson."""
    return _matches(paths, LUPERSON)


def is_luperson_nl(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is a tree or a database of LUPerson-NL."""
    return _matches(paths, LUPERSON_NL)


def read_luperson(storage: Storage) -> Reading:
    """Read LUPerson from its tree, else from its databases, else from tar shards.

    Args:
        storage: Folder or archive of the tree, or folder with `data.mdb` or `*.tar` files.

    Raises:
        DataError: There is none of the three, or a database or shard is damaged.
    """
    return _read(storage, LUPERSON)


def read_luperson_nl(storage: Storage) -> Reading:
    """Read LUPerson-NL from its tree, else from its databases, else from tar shards.

    Args:
        storage: Folder or archive of the tree, or folder with `data.mdb` or `*.tar` files.

    Raises:
        DataError: There is none of the three, or a database or shard is damaged.
    """
    return _read(storage, LUPERSON_NL)


def _matches(paths: Sequence[str], form: Form) -> bool:
    return any(_in_tree(path, form) or form.database.fullmatch(path) for path in paths)


def _in_tree(path: str, form: Form) -> bool:
    folder, _, name = path.rpartition("/")
    named = form.name.fullmatch(name) is not None
    return named and place_of(folder) is not None and not is_sidecar(path)


def _read(storage: Storage, form: Form) -> Reading:
    images: list[str] = []
    ignored: list[Ignored] = []
    databases: list[str] = []
    shards: list[str] = []
    for path in storage.files():
        if _in_tree(path, form):
            images.append(path)
            continue
        reason = _why_ignored(path)
        ignored.append(Ignored(path, reason))
        if reason == CONTAINER and path.endswith(DATABASE_FILES[0]):
            databases.append(path.rpartition("/")[0] or ".")
        elif reason == CONTAINER and not path.endswith(DATABASE_FILES):
            shards.append(path)
    notes: tuple[str, ...] = ()
    if images:
        rows = LazyRows(lambda: _rows_of_tree(images, form))
    else:
        scheme, names = ("lmdb", databases) if databases else ("tar", shards)
        names.sort(key=lambda name: f"{name}#")  # the byte order of the paths of their members
        notes = _check_members(storage, scheme, names, form)
        rows = LazyRows(lambda: _rows_of_containers(storage, scheme, names, form))
    return Reading(
        layout=form.layout,
        parser_version=PARSER_VERSION,
        benchmark=form.layout,
        rows=rows,
        ignored=tuple(ignored),
        notes=notes,
        ethics=ETHICS,
    )


def _why_ignored(path: str) -> str:
    name = path.rpartition("/")[2]
    if is_sidecar(path):
        return SIDECAR
    if name in DATABASE_FILES or name.lower().endswith(".tar"):
        return CONTAINER
    if name == "keys.pkl":
        return KEY_LIST
    return BAD_NAME if is_image(path) else NOT_AN_IMAGE


def _rows_of_tree(images: Iterable[str], form: Form) -> Iterator[Row]:
    for path in images:
        row = parse_row(path, form)
        if row is not None:
            yield row


def _rows_of_containers(
    storage: Storage, scheme: str, names: Iterable[str], form: Form
) -> Iterator[Row]:
    for name in names:
        for member in storage.container(scheme, name).members():
            row = _parse_member(scheme, name, member, form)
            if row is not None:
                yield row


def _parse_member(scheme: str, name: str, member: str, form: Form) -> Row | None:
    path = container_path(scheme, name, member)
    if scheme == "lmdb":
        key = form.key.fullmatch(member)
        return None if key is None else make_row(path, key, key["video"])
    return None if is_sidecar(member) else parse_row(path, form, member)


def _check_members(
    storage: Storage, scheme: str, names: Sequence[str], form: Form
) -> tuple[str, ...]:
    """Warn of members that are no image; refuse a data set of none but these."""
    images = 0
    warnings = []
    for name in names:
        others, last = 0, ""
        for member in storage.container(scheme, name).members():
            if _parse_member(scheme, name, member, form) is not None:
                images += 1
            else:
                others, last = others + 1, member
        if others:
            warnings.append(f"{name}: {others} members ignored that are no image, the last {last}")
    if not images:
        where = ", ".join(names) or "no data.mdb and no tar shard either"
        raise DataError(
            f"{storage.root}: no image of {form.layout} ({where})",
            f"names such as {form.like}",
            "Point to the folder of the tree, of the database or of the shards.",
        )
    return tuple(warnings)
