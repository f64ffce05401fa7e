"""What was found in a dataset beside what its authors state."""

from pathlib import Path

from reid.data.manifest import ManifestMeta
from reid.errors import DataError
from reid.validation.official import OfficialCount, read_official

OFFICIAL_COUNTS = Path("params/datasets/official.yaml")
COLUMNS = ("images", "ids", "cams", "junk", "distractors")


def differs_from_official(meta: ManifestMeta) -> bool:
    """Tell whether a count that is more than hearsay is another one than the authors'."""
    return any(
        abs(_found(meta, entry, name) - number) > entry.tolerance * number
        for entry in _official(meta)
        if entry.confidence != "literature"
        for name, number in entry.cells().items()
    )


def counts_table(meta: ManifestMeta) -> str:
    """Lay out the counts per split; `8 (of 12936)` where the authors state another number."""
    official = _official(meta)
    rows: list[tuple[str, ...]] = [("split", *COLUMNS)]
    for split in dict.fromkeys([*meta.counts, *(entry.split for entry in official)]):
        entries = [entry for entry in official if entry.split == split]
        rows.append((split, *(_cell(meta, split, name, entries) for name in COLUMNS)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cell(meta: ManifestMeta, split: str, name: str, entries: list[OfficialCount]) -> str:
    found = meta.counts.get(split, {}).get(name, 0)
    for entry in entries:
        number = entry.cells().get(name)
        if number is not None and abs(found - number) > entry.tolerance * number:
            about = "about " if entry.tolerance else ""
            return f"{found} (of {about}{number})"
    return str(found)


def _official(meta: ManifestMeta) -> list[OfficialCount]:
    """The stated counts of whole splits; none for a data set that nobody counted."""
    try:
        entries = read_official(OFFICIAL_COUNTS, meta)
    except DataError:
        return []
    return [entry for entry in entries if entry.modality is None and entry.split != "all"]


def _found(meta: ManifestMeta, entry: OfficialCount, name: str) -> int:
    return meta.counts.get(entry.split, {}).get(name, 0)
