"""A tar archive without compression, alone or as a shard inside a folder."""

import tarfile

from reid.data.storage.archive import ArchiveStorage, Entry, read_range
from reid.errors import DataError

_BLOCK = 512


class TarStorage(ArchiveStorage):
    """The regular files of a tar archive; symbolic links and devices are not among them."""

    def entries(self) -> list[Entry]:
        """List the members that are files."""
        entries: dict[str, Entry] = {}
        try:
            with tarfile.open(self.root, "r:", encoding="utf-8") as archive:
                while (info := archive.next()) is not None:
                    # else the library keeps a large object for each member
                    archive.members = []  # type: ignore[attr-defined]
                    self._note(info, entries)
                end = archive.offset
        except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
            raise self.damaged(error) from None
        # The library takes whatever it cannot read behind the first member for the end.
        if self.root.stat().st_size < end + _BLOCK or any(read_range(self.root, end, _BLOCK)):
            raise self.damaged(f"no member and no end at byte {end}")
        return list(entries.values())

    def _note(self, info: tarfile.TarInfo, entries: dict[str, Entry]) -> None:
        if info.issparse():
            raise DataError(
                f"{self.root}: member {info.name!r} is stored with holes",
                "whole members",
                "Pack the archive again without --sparse.",
            )
        if info.isreg():
            entries[info.name] = Entry(info.name, info.offset_data, info.size)
        elif info.islnk() and info.linkname in entries:
            # files that share their content: the archive holds it once, at the first name
            entries[info.name] = entries[info.linkname]._replace(name=info.name)

    def extract(self, row: int) -> bytes:  # noqa: D102 - as in the base
        return read_range(self.root, int(self.index.starts[row]), int(self.index.sizes[row]))
