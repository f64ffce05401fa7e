"""The official counts of known data sets, from `params/datasets/official.yaml`."""

from pathlib import Path
from typing import Literal

from reid.data.manifest import ManifestMeta
from reid.errors import DataError
from reid.params import Params, parse_params, read_yaml


class OfficialCount(Params):
    """What one source says about one split; a count that is not given is not compared.

    Attributes:
        split: Split of the manifest.
        images: Images without junk.
        ids: Identities that are scored, without distractors.
        cams: Cameras.
        junk: Images that are never scored.
        distractors: Images that are only ever wrong answers.
        source: Who says so.
        confidence: `measured` by us, `upstream` code, or `literature` alone. A difference from
            literature is a warning, from anything else an error.
    """

    split: Literal["train", "val", "query", "gallery", "test_pool", "pretrain"]
    images: int | None = None
    ids: int | None = None
    cams: int | None = None
    junk: int | None = None
    distractors: int | None = None
    source: str
    confidence: Literal["measured", "upstream", "literature"]

    def cells(self) -> dict[str, int]:
        """The counts that are given, by name."""
        names = ("images", "ids", "cams", "junk", "distractors")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}


class OfficialTable(Params):
    """Official counts by data set key."""

    datasets: dict[str, list[OfficialCount]]


def read_official(path: Path, meta: ManifestMeta) -> list[OfficialCount]:
    """Look up the benchmark of which a data set claims to be a complete copy.

    Raises:
        ParamsError: The table is missing or malformed.
        DataError: The table does not have the benchmark, or there is none.
    """
    datasets = parse_params(read_yaml(path), OfficialTable, str(path)).datasets
    if meta.benchmark not in datasets:
        raise DataError(
            f"{meta.dataset}: no official counts of benchmark {meta.benchmark}",
            f"one of {', '.join(sorted(datasets))}",
            "Set official: false for a subset or for data of your own.",
        )
    return datasets[meta.benchmark]
