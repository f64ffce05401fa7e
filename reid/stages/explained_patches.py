"""Pictures of a transformer's patches: attention, parts, and correspondences of two images."""

from pathlib import Path
from typing import Any

from reid.methods.explanation import Matches, PatchModel, cluster_parts, match_patches, see_patches
from reid.report.explanation import draw_attention, draw_correspondences, draw_parts
from reid.report.page import ShownPair
from reid.stages.explained_images import Look

ATTENTION, PART_MAPS, CORRESPONDENCES = "attention.png", "parts.png", "correspondences.png"
LINES = 16  # matches drawn between two images


def explain_patches(
    model: PatchModel, look: Look, parts: int, seed: int
) -> tuple[list[Path], dict[str, Any]]:
    """Draw what the network makes of the patches.

    Args:
        parts: Clusters of patches.
        seed: Of the clusters.

    Returns:
        The pictures, and what the record says of them.
    """
    scene, title = look.scene, look.title
    seen = see_patches(model, look.batch)
    labels = cluster_parts(seen.tokens, parts, seed)
    count, grid = len(scene.shown), labels.shape[1:]
    tokens = seen.tokens[:count]
    matches = [match_patches(*pair) for pair in zip(tokens[::2], tokens[1::2], strict=True)]
    shown = [scene.show(image, model.image) for image in scene.shown]
    drawn = [match.strongest(LINES) for match in matches]
    pictures = [look.folder / name for name in (ATTENTION, PART_MAPS, CORRESPONDENCES)]
    words = f"{title}: where the class token looks in the last block"
    draw_attention(shown, seen.attention[:count], pictures[0], words)
    words = f"{title}: clusters of the patches of {len(labels)} images, numbered from the top"
    draw_parts(shown, labels[:count], pictures[1], words)
    draw_correspondences(
        [
            ShownPair(*two)
            for two in zip(shown[::2], shown[1::2], map(_caption, drawn), strict=True)
        ],
        drawn,
        (grid[0], grid[1]),
        pictures[2],
        f"{title}: matching patches",
        "lines join patches that are each other's nearest",
    )
    facts = [
        {"images": [scene.facts(image) for image in pair], "matches": len(match.strength)}
        for pair, match in zip(scene.pairs, matches, strict=True)
    ]
    return pictures, {"parts": parts, "clustered_images": len(labels), "pairs": facts}


def _caption(found: Matches) -> str:
    if not len(found.strength):
        return "no mutual pair"
    low, high = found.strength.min(), found.strength.max()
    return f"{len(found.strength)} strongest pairs, cosine {low:.3f} to {high:.3f}"
