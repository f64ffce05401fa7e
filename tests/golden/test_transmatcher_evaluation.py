"""Metrics and re-ranking of a matrix of pair scores against figures of the code of TransMatcher.

Every size and tolerance comes from the pack; an entry of the part `ev.` or a figure of the part
`evaluation` that is not known here fails.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.reranking import Reranker, RerankParams
from reid.retrieval.reranking_variants import half_precision_blocks
from reid.retrieval.scoring import Scores, Source, score
from reid.retrieval.space import MatrixSpace
from reid.retrieval.testset import TestSet

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
# rows of a block, so that every case is computed in several
BLOCK = 7
TENSORS = {"full_distance", "q_ids", "g_ids", "q_cams", "g_cams", "reranked"}
SETTINGS = {"plain", "reranked"}


@dataclass(frozen=True)
class Pack:
    facts: dict[str, Any]
    tensors: dict[str, np.ndarray]

    def tensor(self, name: str) -> np.ndarray:
        return self.tensors[f"ev.{name}"]

    @property
    def space(self) -> MatrixSpace:
        return MatrixSpace(self.tensor("full_distance"))

    @property
    def queries(self) -> int:
        return len(self.tensor("q_ids"))

    @property
    def test(self) -> TestSet:
        sides = [("q", "query"), ("g", "gallery")]
        return TestSet(
            "transmatcher",
            np.concatenate([self.tensor(f"{side}_ids") for side, _ in sides]),
            np.concatenate([self.tensor(f"{side}_cams") for side, _ in sides]),
            np.concatenate([[role] * len(self.tensor(f"{side}_ids")) for side, role in sides]),
        )

    @property
    def how(self) -> str:
        return self.facts["tensors"]["ev.reranked"]["how"]

    @property
    def rerank(self) -> RerankParams:
        found = re.search(r"k1=(\d+) k2=(\d+) lambda=([\d.]+)", self.how)
        assert found, self.how
        return RerankParams(int(found[1]), int(found[2]), float(found[3]))

    @property
    def reranked_tolerance(self) -> float:
        """How far weights in half precision may move a re-ranked distance."""
        found = re.search(r"agreement to about (\d[\d.e-]*)", self.how)
        assert found, self.how
        # "about" is taken for at most twice as much; what is exact is tested in half precision
        return 2 * float(found[1])

    @property
    def tolerance(self) -> float:
        """Of everything that is not in half precision."""
        return self.facts["tolerance"]["default"]["atol"]


@dataclass(frozen=True)
class HalfPrecision:
    """Re-ranked distances as the published code makes them, of the queries to the gallery."""

    pack: Pack

    def blocks(self, query_rows: Any, gallery_rows: Any, block_size: int) -> Iterator[np.ndarray]:
        pack = self.pack
        assert query_rows.tolist() == list(range(pack.queries))
        assert gallery_rows.tolist() == list(range(pack.queries, len(pack.space)))
        return half_precision_blocks(pack.space, pack.queries, pack.rerank, block_size)


def _facts(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _paths() -> list[Path]:
    packs = sorted(ROOT.glob("*/pack.json"))
    return [path for path in packs if "ev.full_distance" in _facts(path).get("tensors", {})]


@pytest.fixture(params=_paths(), ids=lambda path: path.parent.name)
def pack(request: pytest.FixtureRequest) -> Pack:
    return Pack(_facts(request.param), load_file(request.param.parent / "tensors.safetensors"))


def test_packs_are_there() -> None:
    assert _paths()


def test_every_entry_is_known(pack: Pack) -> None:
    for names in (pack.facts, pack.facts["tensors"], pack.tensors):
        found = {name.removeprefix("ev.") for name in names if name.startswith("ev.")}
        assert found <= TENSORS
    assert {name.removeprefix("ev.") for name in pack.tensors} >= TENSORS
    assert set(pack.facts["evaluation"]) == SETTINGS


def test_plain_figures(pack: Pack) -> None:
    _check_figures(pack, "plain", pack.space)


def test_reranked_figures(pack: Pack) -> None:
    _check_figures(pack, "reranked", HalfPrecision(pack))


def _check_figures(pack: Pack, setting: str, source: Source) -> None:
    expected = pack.facts["evaluation"][setting]
    curves = [name for name in expected if name.startswith("cmc_first")]
    longest = max(int(name.removeprefix("cmc_first")) for name in curves)
    scores, _ = score(source, pack.test, PROTOCOLS["market"], BLOCK, max(longest, 1))
    assert curves
    for name, figure in expected.items():
        assert _figure(name, scores) == pytest.approx(figure, abs=pack.tolerance), name


def _figure(name: str, scores: Scores) -> float | list[float]:
    if name == "mAP":
        return scores.mAP
    curve = re.fullmatch(r"cmc_first(\d+)", name)
    assert curve, f"unknown figure {name}"
    return scores.cmc[: int(curve[1])].tolist()


def test_distances_in_half_precision(pack: Pack) -> None:
    source, rows = HalfPrecision(pack), np.arange(len(pack.space))
    made = source.blocks(rows[: pack.queries], rows[pack.queries :], BLOCK)
    expected = pack.tensor("reranked")
    np.testing.assert_allclose(np.concatenate(list(made)), expected, rtol=0, atol=pack.tolerance)


@pytest.mark.parametrize("rounding", [np.float32, np.float16])
def test_distances_of_the_engine(pack: Pack, rounding: type[np.floating]) -> None:
    """Sums are in double precision here, so they differ by more than the order of adding."""
    reranker = Reranker(pack.space, pack.rerank, rounding=rounding)
    rows = np.arange(len(pack.space))
    made = reranker.blocks(rows[: pack.queries], rows[pack.queries :], BLOCK)
    np.testing.assert_allclose(
        np.concatenate(list(made)), pack.tensor("reranked"), rtol=0, atol=pack.reranked_tolerance
    )
