"""Embedding speed of TransReID (ViT-B/16, 256x128, four pieces, camera ids) on the CPU.

Baseline: the same weights through a forward pass written down from the formulas, with the attention
matrix in memory, all tokens of the last block, and one pass per piece. Both are timed in turn; the
ratio is of the medians. The outputs must agree, or nothing is printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.registry import build_network, load_recipe
from reid.methods.transreid import TransReID, TransReidRecipe
from reid.methods.transreid.jigsaw import patch_order
from reid.methods.transreid.recipe import JigsawRecipe
from reid.nn.block import Block
from reid.nn.vision_transformer import Branch

RECIPE = Path(__file__).parents[1] / "params/methods/transreid/market1501_vit_transreid.yaml"
FACTS = DataFacts(num_classes=751, num_cameras=6, num_views=1)


def plain_block(block: nn.Module, tokens: Tensor) -> Tensor:
    """softmax(q kᵀ / sqrt(d)) v per head, then the perceptron, on all tokens."""
    if not isinstance(block, Block):
        raise TypeError(f"{type(block).__name__} is no transformer block")
    B, N, D = tokens.shape
    heads = block.attn.heads
    q, k, v = block.attn.qkv(block.norm1(tokens)).split(D, dim=2)
    q, k, v = (part.view(B, N, heads, D // heads).transpose(1, 2) for part in (q, k, v))
    scale = block.attn.scale or (D // heads) ** -0.5
    weights = (q @ k.transpose(2, 3) * scale).softmax(dim=3)
    tokens = tokens + block.attn.proj((weights @ v).transpose(1, 2).reshape(B, N, D))
    hidden = F.gelu(block.mlp.fc1(block.norm2(tokens)))
    out: Tensor = tokens + block.mlp.fc2(hidden)
    return out


def plain_branch(branch: Branch, tokens: Tensor) -> Tensor:
    """The class token of the last block, all tokens of which are computed."""
    tokens = branch.norm(plain_block(branch.block, tokens))
    return tokens[:, 0]


def plain_embed(network: TransReID, jigsaw: JigsawRecipe, batch: Batch) -> Tensor:
    """Embed as the published code does, one pass of the local branch per piece."""
    trunk, local = network.trunk, network.local_branches
    if local is None:
        raise TypeError("the recipe has no jigsaw module")
    tokens = trunk.tokens(batch.images, batch.cameras, batch.views)
    for block in trunk.blocks:
        tokens = plain_block(block, tokens)
    parts = [plain_branch(network.global_branch, tokens)]
    patches = tokens.shape[1] - 1
    shuffled = tokens[:, 1:][:, patch_order(patches, jigsaw)]
    length = patches // jigsaw.pieces
    for i in range(jigsaw.pieces):
        piece = shuffled[:, i * length : (i + 1) * length]
        feature = plain_branch(local.branch, torch.cat([tokens[:, :1], piece], dim=1))
        parts.append(feature / jigsaw.pieces)
    return torch.cat(parts, dim=1)


def alternate(
    first: Callable[[], Tensor], second: Callable[[], Tensor], rounds: int
) -> list[float]:
    """Return the median seconds of both, measured in turn after one warm-up each."""
    seconds: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        for kept, run in zip(seconds, (first, second), strict=True):
            started = time.perf_counter()
            run()
            if number:
                kept.append(time.perf_counter() - started)
    return [statistics.median(kept) for kept in seconds]


def report(name: str, batch: int, ours: float, baseline: float) -> None:
    """Print one comparison."""
    rates = f"{batch / ours:.2f} against {batch / baseline:.2f} images/s"
    print(f"{name}: {baseline / ours:.2f} x ({rates})")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="TransReID with jigsaw")
    return parser.parse_args()


@torch.inference_mode()
def main() -> None:
    """Compare ours with the baseline, then bf16 with fp32."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    recipe = load_recipe(arguments.recipe)
    network = build_network(recipe, FACTS).eval()
    if not isinstance(recipe, TransReidRecipe) or not isinstance(network, TransReID):
        raise TypeError(f"{arguments.recipe} is no TransReID recipe")
    jigsaw = recipe.model.jigsaw
    if jigsaw is None:
        raise TypeError(f"{arguments.recipe} has no jigsaw module")
    size, height, width = arguments.batch, recipe.image.height, recipe.image.width
    numbers = torch.arange(size)
    ids = (numbers * 0 - 1, numbers % FACTS.num_cameras, numbers * 0, numbers * 0)
    batch = Batch(torch.randn(size, 3, height, width), *ids)

    def ours() -> Tensor:
        return network.embed(batch)

    def baseline() -> Tensor:
        return plain_embed(network, jigsaw, batch)

    def half() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network.embed(batch)

    torch.testing.assert_close(ours(), baseline(), rtol=1e-4, atol=1e-4)
    print(f"{arguments.recipe.stem}: batch {size}, {arguments.threads} threads")
    report("ours against one pass per piece", size, *alternate(ours, baseline, arguments.rounds))
    report("bf16 against fp32", size, *alternate(half, ours, arguments.rounds))
    cosine = F.cosine_similarity(half().float(), ours(), dim=1)
    print(f"cosine of bf16 and fp32 features: {cosine.min():.5f} at least")


if __name__ == "__main__":
    main()
