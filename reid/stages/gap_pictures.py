"""Pictures of the gap between the spectra, of features at hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.report.modality_gap import IMAGES, PEOPLE, GapRow, draw_modality_gap, in_plane
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.modality_gap import Seen, choose_images, draw_pairs, measure_gap
from reid.retrieval.precision import Stored

SEED = 0


def draw_gap(embeddings: Embeddings, path: Path, title: str) -> None:
    """Draw the gap of a feature store if it is of two spectra, and of features to be compared.

    What scores pairs of images has no distances between features, so nothing is drawn of it.
    """
    if not embeddings.card.get("scored_in_pairs"):
        draw_gaps(Seen.of(embeddings), {"stored features": embeddings.features}, path, title, SEED)


def draw_gaps(
    seen: Seen, features: Mapping[str, Stored], path: Path, title: str, seed: int
) -> dict[str, Any] | None:
    """Draw the gap in several features of the same images.

    Args:
        features: [N, D] each, by what they are.
        seed: Of the choice of pairs and of images.

    Returns:
        What a record says of them; None, and no picture, where nobody is seen in both spectra
        beside somebody else.
    """
    pairs = draw_pairs(seen, seed)
    if pairs is None:
        return None
    rows = choose_images(seen, PEOPLE, IMAGES, seed)
    shown = seen.take(rows)
    gaps = [
        GapRow(name, measure_gap(stored, pairs), in_plane(stored[rows], seed))
        for name, stored in features.items()
    ]
    people = len(seen.in_both)
    drawn = len(set(shown.person_ids.tolist()))
    lines = (
        f"{len(seen.person_ids):,} images, {people:,} people seen in both spectra",
        f"on the right {len(rows)} images of {drawn} of them",
    )
    draw_modality_gap(gaps, shown, path, title, lines, pairs.between_cameras)
    return {
        "images": len(seen.person_ids),
        "people_in_both_spectra": people,
        "within_between_cameras": pairs.between_cameras,
        "features": {row.name: row.gap.figures() for row in gaps},
    }
