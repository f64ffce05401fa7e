from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.images import Batch
from reid.data.transforms import normalise
from reid.errors import ParamsError
from reid.methods.base import DataFacts
from reid.methods.explanation import (
    FloatArray,
    PatchModel,
    PatchNetwork,
    cluster_parts,
    match_patches,
    see_patches,
)
from reid.methods.registry import build_network, load_recipe

RECIPES = Path(__file__).parents[3] / "params" / "methods"
FACTS = DataFacts(num_classes=5, num_cameras=3, num_views=1)


def unit(values: FloatArray) -> FloatArray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def bands(seed: int) -> FloatArray:
    """Three bands of like patches in 5 images of 6 × 2 patches, from the top to the bottom."""
    generator = np.random.default_rng(seed)
    directions = np.eye(8, dtype=np.float32)[[4, 0, 7]]
    noise = generator.normal(0, 0.1, (5, 6, 2, 8)).astype(np.float32)
    return unit(np.repeat(directions, 2, axis=0)[:, None] + noise)


def raw_batch(height: int, width: int, count: int = 3) -> Batch:
    torch.manual_seed(1)
    ids = torch.zeros(count).long()
    images = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)
    return Batch(images, ids, ids + 1, ids, ids)


@pytest.mark.parametrize("method", ["transreid", "personvit"])
@torch.no_grad()
def test_the_patches_of_a_method_are_seen(method: str) -> None:
    torch.manual_seed(0)
    recipe = load_recipe(RECIPES / method / "smoke.yaml")
    network = build_network(recipe, FACTS).eval()
    assert isinstance(network, PatchNetwork)
    raw = raw_batch(recipe.image.height, recipe.image.width)
    seen = see_patches(PatchModel(network, network.view_patches, recipe.image), raw)
    view = network.view_patches(raw._replace(images=normalise(raw.images, recipe.image)))
    np.testing.assert_allclose(seen.attention, view.attention.numpy(), rtol=1e-5)
    np.testing.assert_allclose(seen.tokens, unit(view.tokens.numpy()), rtol=1e-4, atol=1e-6)
    assert (seen.attention.sum(axis=(2, 3)) < 1).all()


@torch.no_grad()
def test_side_information_is_part_of_what_is_seen() -> None:
    torch.manual_seed(0)
    recipe = load_recipe(RECIPES / "transreid" / "demo.yaml")
    network = build_network(recipe, FACTS)
    assert isinstance(network, PatchNetwork)
    model = PatchModel(network, network.view_patches, recipe.image)
    raw = raw_batch(recipe.image.height, recipe.image.width)
    here = see_patches(model, raw).tokens
    elsewhere = see_patches(model, raw._replace(cameras=raw.cameras + 1)).tokens
    assert not np.allclose(here, elsewhere, atol=1e-4)


def test_a_convolutional_network_has_no_patches() -> None:
    recipe = load_recipe(RECIPES / "bot" / "smoke.yaml")
    assert not isinstance(build_network(recipe, FACTS), PatchNetwork)


@pytest.mark.parametrize("seed", [0, 1])
def test_parts_are_found_and_numbered_from_the_top(seed: int) -> None:
    labels = cluster_parts(bands(seed), 3, seed)
    expected = np.broadcast_to(np.repeat(np.arange(3), 2)[:, None], (5, 6, 2))
    assert (labels == expected).all()


def test_parts_are_the_same_for_the_same_seed() -> None:
    tokens = unit(np.random.default_rng(0).normal(size=(9, 8, 4, 16)).astype(np.float32))
    assert (cluster_parts(tokens, 5, 3) == cluster_parts(tokens, 5, 3)).all()


def test_more_parts_than_patches_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"12 parts of 4 patches; expected more patches"):
        cluster_parts(unit(np.ones((1, 2, 2, 3), np.float32)), 12, 0)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)))
def test_a_shuffled_image_is_matched_patch_by_patch(order: list[int]) -> None:
    tokens = unit(np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32))
    found = match_patches(tokens.reshape(4, 3, 16), tokens[order].reshape(6, 2, 16))
    assert len(found.strength) == 12
    first = found.first @ [3, 1]
    second = found.second @ [2, 1]
    assert (np.array(order)[second] == first).all()
    np.testing.assert_allclose(found.strength, 1, atol=1e-6)


def test_only_mutual_neighbours_match_the_strongest_first() -> None:
    angles = np.radians([0, 50, 55])
    first = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)[None]
    angles = np.radians([5, 54])
    second = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)[None]
    found = match_patches(first, second)
    assert found.first.tolist() == [[0, 2], [0, 0]]
    assert found.second.tolist() == [[0, 1], [0, 0]]
    np.testing.assert_allclose(found.strength, np.cos(np.radians([1, 5])), atol=1e-6)
    assert found.strongest(1).first.tolist() == [[0, 2]]
