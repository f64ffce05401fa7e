"""Protocols of visible-infrared re-identification against figures of the published code of IDKL.

Every case, size and tolerance comes from the pack; an entry, a case or a figure of its part `e.`
that is not known here fails.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from reid.retrieval.distance import distance_blocks, normalise
from reid.retrieval.features import FeatureRows
from reid.retrieval.protocols import PROTOCOLS, Protocol
from reid.retrieval.reranking import RerankParams, rerank_blocks
from reid.retrieval.scoring import Scores, score
from reid.retrieval.splits import splits
from reid.retrieval.testset import TestSet
from reid.retrieval.variant_source import VariantSource

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
# rows of a block, so that every case is computed in several
BLOCK = 7
# what upstream calls a direction, and our protocols in it, which count persons as upstream does
DIRECTIONS = {
    ("regdb", "ir_to_vis"): "regdb_thermal_to_visible_idkl",
    ("regdb", "vis_to_ir"): "regdb_visible_to_thermal_idkl",
    ("llcm", "ir_to_vis"): "llcm_full_gallery_nir_to_visible",
    ("llcm", "vis_to_ir"): "llcm_full_gallery_visible_to_nir",
}
# the published code re-ranks in half precision, and SYSU-MM01 among queries alone
RERANKED = {"sysu": "query_only", "regdb": "float16", "llcm": "float16"}
MODALITIES = {"vis": "rgb", "ir": "ir"}
FACTS = {
    "sysu": {"gallery_paths", "rand_perm", "results", "chosen_gallery_first2trials"},
    "regdb": {"results"},
    "llcm": {"results"},
}
SIDES = {
    "sysu": {f"{side}_{name}" for side in ("query", "gallery") for name in ("feat", "id", "cam")},
    "regdb": {f"{side}_{name}" for side in MODALITIES for name in ("feat", "id")},
    "llcm": {f"{side}_{name}" for side in MODALITIES for name in ("feat", "id")},
}
DISTANCES = {"e.sysu.rerank_dist": "query_only", "e.std.rerank_dist": "ordinary"}


@dataclass(frozen=True)
class Pack:
    facts: dict[str, Any]
    tensors: dict[str, np.ndarray]

    def results(self, dataset: str) -> dict[str, dict[str, float]]:
        return self.facts[f"e.{dataset}.results"]

    def tensor(self, dataset: str, name: str) -> np.ndarray:
        return self.tensors[f"e.{dataset}.{name}"]

    @cached_property
    def tolerances(self) -> dict[str, float]:
        """Percentage points, for plain and re-ranked figures."""
        found = re.search(
            r"compare to (\d[\d.e-]*) points, plain to (\d[\d.e-]*\d)", self.facts["e.note"]
        )
        assert found, self.facts["e.note"]
        return {"rerank": float(found[1]), "plain": float(found[2])}

    @cached_property
    def rerank(self) -> RerankParams:
        """Stated for the stored distances, and the same for all figures."""
        how = self.facts["tensors"]["e.sysu.rerank_dist"]["how"]
        found = re.search(r"k1=(\d+) k2=(\d+) lambda=([\d.]+)", how)
        assert found, how
        return RerankParams(int(found[1]), int(found[2]), float(found[3]))


@dataclass(frozen=True)
class Source:
    """Distances of rows of one matrix, by the name of how they are made."""

    features: np.ndarray
    kind: str
    params: RerankParams

    def blocks(self, query_rows: Any, gallery_rows: Any, block_size: int) -> Iterator[np.ndarray]:
        sides = self.features[query_rows], self.features[gallery_rows]
        if self.kind == "plain":
            return distance_blocks(*sides, block_size=block_size)
        if self.kind == "ordinary":
            return rerank_blocks(*sides, self.params, block_size)
        source = VariantSource(FeatureRows(self.features), self.kind, self.params)
        return source.blocks(query_rows, gallery_rows, block_size)


def _paths(entry: str = "e.note") -> list[Path]:
    return [path for path in sorted(ROOT.glob("*/pack.json")) if entry in _facts(path)]


def _facts(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _pack(path: Path) -> Pack:
    return Pack(_facts(path), load_file(path.parent / "tensors.safetensors"))


def _cases() -> list[Any]:
    cases = []
    for path in _paths():
        for entry in _facts(path):
            if found := re.fullmatch(r"e\.(\w+)\.results", entry):
                for name in _facts(path)[entry]:
                    label = f"{path.parent.name}-{found[1]}-{name}"
                    cases.append(pytest.param(path, found[1], name, id=label))
    return cases


def test_packs_are_there() -> None:
    assert _paths()


@pytest.mark.parametrize("path", _paths(), ids=lambda path: path.parent.name)
def test_every_entry_is_known(path: Path) -> None:
    pack = _pack(path)
    known = {"e.note", *DISTANCES}
    for names in (FACTS, SIDES):
        known |= {f"e.{dataset}.{name}" for dataset in names for name in names[dataset]}
    found = {name for name in (*pack.facts, *pack.tensors) if name.startswith("e.")}
    assert found <= known


@pytest.mark.parametrize(("path", "dataset", "name"), _cases())
def test_figures(path: Path, dataset: str, name: str) -> None:
    plain = name.endswith("-plain")
    _check_figures(_pack(path), dataset, name, "plain" if plain else RERANKED[dataset])


@pytest.mark.parametrize(
    ("path", "dataset", "name"),
    [case for case in _cases() if case.values[1] != "sysu" and "-rerank" in case.values[2]],
)
def test_means_of_canonical_reranking(path: Path, dataset: str, name: str) -> None:
    """In single precision, where a rank may differ by the one query of a near-tie."""
    _check_figures(_pack(path), dataset, name, "ordinary", {"mAP", "mINP_from_formula"})


def _check_figures(
    pack: Pack, dataset: str, name: str, kind: str, only: set[str] | None = None
) -> None:
    tolerance = pack.tolerances[name.rpartition("-")[2]]
    protocol, test, features = _case(pack, dataset, name)
    if protocol.normalise:
        features = normalise(features)
    source = Source(features, kind, pack.rerank)
    by_persons, _ = score(source, test, protocol, BLOCK)
    by_images, _ = score(source, test, replace(protocol, counting="images"), BLOCK)
    assert protocol.counting == "persons"
    for key, expected in pack.results(dataset)[name].items():
        if only and key not in only:
            continue
        made = _figure(key, by_persons, by_images)
        assert 100 * made == pytest.approx(expected, abs=tolerance), key


def _figure(key: str, by_persons: Scores, by_images: Scores) -> float:
    if key == "mAP":
        return by_persons.mAP
    if key == "mINP_from_formula":
        return by_persons.mINP
    rank = re.fullmatch(r"(imagewise_)?r(\d+)", key)
    assert rank, f"unknown figure {key}"
    scores = by_images if rank[1] else by_persons
    return float(scores.cmc[int(rank[2]) - 1])


def _case(pack: Pack, dataset: str, name: str) -> tuple[Protocol, TestSet, np.ndarray]:
    if dataset == "sysu":
        mode, shots, _ = name.split("-")
        return _sysu_protocol(pack, mode, int(shots)), *_sysu(pack)
    direction = name.rpartition("-")[0]
    return PROTOCOLS[DIRECTIONS[dataset, direction]], *_two_modalities(pack, dataset)


def _two_modalities(pack: Pack, dataset: str) -> tuple[TestSet, np.ndarray]:
    persons = {side: pack.tensor(dataset, f"{side}_id") for side in MODALITIES}
    sizes = [len(ids) for ids in persons.values()]
    ids = np.concatenate(list(persons.values()))
    modalities = np.repeat(list(MODALITIES.values()), sizes)
    cameras = np.repeat(np.arange(len(sizes)), sizes)
    roles = np.full(len(ids), "pool")
    features = np.concatenate([pack.tensor(dataset, f"{side}_feat") for side in MODALITIES])
    return TestSet(dataset, ids, cameras, roles, modalities), features


def _sysu_protocol(pack: Pack, mode: str, shots: int) -> Protocol:
    trials = len(_permutation(pack, pack.facts["e.sysu.gallery_paths"][0])[0])
    named = [p for p in PROTOCOLS.values() if p.name.startswith(f"sysu_{mode}_")]
    found = [p for p in named if p.shots == shots] or [replace(named[0], shots=shots)]
    return replace(found[0], trials=trials)


def _permutation(pack: Pack, path: str) -> tuple[list[list[int]], int]:
    """The order of the images of a person and camera in each trial, and the number of this one."""
    found = re.fullmatch(r".*cam(\d)/(\d+)/(\d+)\.\w+", path)
    assert found, path
    camera, person, number = (str(int(part)) for part in found.groups())
    return pack.facts["e.sysu.rand_perm"][camera][person], int(number)


def _sysu(pack: Pack) -> tuple[TestSet, np.ndarray]:
    sides = ("query", "gallery")
    columns = {
        name: [pack.tensor("sysu", f"{side}_{name}") for side in sides]
        for name in ("feat", "id", "cam")
    }
    queries, gallery = (len(ids) for ids in columns["id"])
    paths = pack.facts["e.sysu.gallery_paths"]
    trials = [_permutation(pack, path) for path in paths]
    drawn = [[order.index(number) for order in orders] for orders, number in trials]
    test = TestSet(
        "sysu",
        np.concatenate(columns["id"]),
        np.concatenate(columns["cam"]) - 1,
        np.full(queries + gallery, "pool"),
        np.repeat(["ir", "rgb"], [queries, gallery]),
        np.array([""] * queries + paths),
        np.concatenate([np.full((queries, len(drawn[0])), -1), drawn]),
    )
    return test, np.concatenate(columns["feat"])


@pytest.mark.parametrize(
    "path", _paths("e.sysu.chosen_gallery_first2trials"), ids=lambda path: path.parent.name
)
def test_chosen_galleries(path: Path) -> None:
    pack = _pack(path)
    test, _ = _sysu(pack)
    for name, expected in pack.facts["e.sysu.chosen_gallery_first2trials"].items():
        mode, shots = name.split("-")
        protocol = _sysu_protocol(pack, mode, int(shots))
        assert protocol.draw(test) == "official"
        for split, gallery in zip(splits(protocol, test), expected, strict=False):
            chosen = [re.sub(r".*(cam\d.*)\.\w+", r"\1", p) for p in test.paths[split.gallery_rows]]
            assert sorted(chosen) == sorted(gallery)


@pytest.mark.parametrize("path", _paths(), ids=lambda path: path.parent.name)
def test_reranked_distances(path: Path) -> None:
    pack = _pack(path)
    how = {name: pack.facts["tensors"][name]["how"] for name in DISTANCES}
    stated = re.search(r"compare to (\d[\d.e-]*)", how["e.sysu.rerank_dist"])
    assert stated, how
    for name, kind in DISTANCES.items():
        expected = pack.tensors[name]
        queries, gallery = expected.shape
        features = np.concatenate(
            [pack.tensor("sysu", "query_feat")[:queries], pack.tensor("sysu", "gallery_feat")]
        )[: queries + gallery]
        if "L2-normalised" in how[name]:
            features = normalise(features)
        else:
            assert "raw features" in how[name]
        rows = np.arange(queries + gallery)
        source = Source(features, kind, pack.rerank)
        made = np.concatenate(list(source.blocks(rows[:queries], rows[queries:], BLOCK)))
        np.testing.assert_allclose(made, expected, rtol=0, atol=float(stated[1]))
