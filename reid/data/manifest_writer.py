"""Writing of a manifest block by block, so that millions of images need little memory."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reid.data.manifest import SCHEMA, ManifestMeta, metadata_fields, plain_schema
from reid.files import whole_file


@dataclass
class _Tally:
    """What is counted of a split."""

    images: int = 0
    junk: int = 0
    distractors: int = 0
    broken: int = 0
    ids: set[str] = field(default_factory=set)
    cameras: set[int] = field(default_factory=set)

    def add(self, flag: str, pid_key: str | None, camid: int | None) -> None:
        if flag == "junk":
            self.junk += 1
            return
        self.images += 1
        self.distractors += flag == "distractor"
        self.broken += flag == "broken"
        if flag == "ok" and pid_key is not None:
            self.ids.add(pid_key)
        if camid is not None:
            self.cameras.add(camid)

    def counts(self) -> dict[str, int]:
        return {
            "images": self.images,
            "ids": len(self.ids),
            "cams": len(self.cameras),
            "junk": self.junk,
            "distractors": self.distractors,
            "broken": self.broken,
        }


class ManifestWriter:
    """Write blocks of rows that come in the byte order of their paths.

    Used as a context: the file appears when `finish` was called and the block ends well.

    Args:
        target: The manifest to write.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._stack = ExitStack()
        self._fingerprint = hashlib.sha256()
        self._tallies: dict[str, _Tally] = defaultdict(_Tally)

    def __enter__(self) -> "ManifestWriter":
        part = self._stack.enter_context(whole_file(self._target))
        self._writer = pq.ParquetWriter(part, SCHEMA, compression="zstd")
        self._stack.callback(self._writer.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Append rows, given as one sequence per column of `SCHEMA`."""
        for path, digest in zip(columns["path"], columns["sha256"], strict=True):
            self._fingerprint.update(f"{path}\0{digest.hex()}\n".encode())
        facts = (columns[name] for name in ("split", "flag", "pid_key", "camid"))
        for split, flag, pid_key, camid in zip(*facts, strict=True):
            self._tallies[split].add(flag, pid_key, camid)
        plain = {name: columns[name] for name in SCHEMA.names}
        self._writer.write_table(pa.Table.from_pydict(plain, schema=plain_schema()).cast(SCHEMA))

    def finish(self, meta: ManifestMeta) -> ManifestMeta:
        """Write what holds for all rows, with the counts and the fingerprint of what was written.

        Returns:
            `meta` with these two.
        """
        whole = replace(
            meta,
            root_fingerprint=self._fingerprint.hexdigest(),
            counts={split: self._tallies[split].counts() for split in sorted(self._tallies)},
        )
        self._writer.add_key_value_metadata(
            {name: json.dumps(value, sort_keys=True) for name, value in metadata_fields(whole)}
        )
        return whole
