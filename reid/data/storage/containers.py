"""Containers inside a data set, by the scheme of their paths."""

from collections.abc import Callable, Iterator

from reid.data.storage.base import Container, Storage
from reid.data.storage.hdf5 import CuhkCells
from reid.data.storage.lmdb import LmdbImages
from reid.data.storage.tar import TarStorage
from reid.errors import DataError


class TarShard:
    """A tar archive among the files of a folder."""

    def __init__(self, archive: TarStorage) -> None:
        self._archive = archive

    def members(self) -> Iterator[str]:
        """Names of the files in the shard, in byte order."""
        yield from self._archive.files()

    def read(self, member: str) -> bytes:
        """The bytes of a file; `KeyError` if there is none of that name."""
        row = self._archive.index.find(member)
        if row is None:
            raise KeyError(member)
        return self._archive.extract(row)


_KINDS: dict[str, Callable[[Storage, str], Container]] = {
    "hdf5": CuhkCells,
    "lmdb": lambda storage, name: LmdbImages(storage.local_path(name)),
    "tar": lambda storage, name: TarShard(TarStorage(storage.local_path(name))),
}


def open_container(scheme: str, storage: Storage, name: str) -> Container:
    """Open a container of a data set.

    Args:
        scheme: `hdf5`, `lmdb` or `tar`.
        storage: The data set.
        name: Path of the container in it.

    Raises:
        DataError: There is no such kind, or the container is damaged.
    """
    if scheme not in _KINDS:
        raise DataError(
            f"{storage.root}: container '{scheme}://{name}'",
            f"one of {', '.join(_KINDS)}",
            "Build the manifest again with `reid data build`.",
        )
    return _KINDS[scheme](storage, name)
