"""Pictures of what the scores of pairs are made of: matching cells, and what each cell adds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.data.images import Batch
from reid.errors import DataError
from reid.methods.embedding import best_device, embed_parts
from reid.methods.pair_explanation import PairModel, PairView, explain_pair, mean_maxima
from reid.report.contributions import draw_contributions
from reid.report.explanation import draw_correspondences
from reid.report.page import ShownPair
from reid.retrieval.features import FloatArray
from reid.stages.explained_images import Chosen, Look, Scene
from reid.stages.explained_patches import CORRESPONDENCES, LINES

CONTRIBUTIONS = "contributions.png"


@dataclass(frozen=True)
class _Scored:
    """A pair of images and its score.

    Args:
        relation: What the second image shows, in words.
    """

    first: Chosen
    second: Chosen
    relation: str
    view: PairView

    @property
    def caption(self) -> str:
        rise = self.view.score - self.view.reference
        return f"{self.relation}: score {self.view.score:.2f}, {rise:+.2f} over strangers"


def explain_pairs(model: PairModel, look: Look) -> tuple[list[Path], dict[str, Any]]:
    """Draw what the scores of the pairs of a scene are made of.

    Each pair is followed by the first image beside the one of another person that scores highest
    with it among the images of the scene, if it is known who they show. Scores are compared with
    the mean maxima of the first image with all images of other people.

    Returns:
        The pictures, and what the record says of them.

    Raises:
        DataError: The scene shows a single person.
    """
    scene = look.scene
    rows = _rows(model, look.batch)
    scored = [
        one for number in range(len(scene.pairs)) for one in _look_at(model, scene, rows, number)
    ]
    shown = [
        ShownPair(scene.show(x.first, model.image), scene.show(x.second, model.image), x.caption)
        for x in scored
    ]
    pictures = [look.folder / name for name in (CONTRIBUTIONS, CORRESPONDENCES)]
    draw_contributions(
        shown,
        [(x.view.query_heat, x.view.gallery_heat) for x in scored],
        pictures[0],
        f"{look.title}: what the cells add to the score",
        model.centre,
    )
    draw_correspondences(
        shown,
        [x.view.matches.strongest(LINES) for x in scored],
        model.grid,
        pictures[1],
        f"{look.title}: matching cells",
        f"the {LINES} pairs of cells that add most to the score, each other's best in some layer",
        model.centre,
    )
    facts = [_facts(scene, one) for one in scored]
    return pictures, {"compared_images": len(rows), "pairs": facts}


def _rows(model: PairModel, raw: Batch) -> FloatArray:
    """Return what the scorer needs of each image, [M, F]."""
    recipe, device = model.loaded.recipe, best_device()
    network = model.loaded.network.to(device).eval()
    size = recipe.embed_batch
    starts = range(0, len(raw.images), size)
    parts = (Batch(*(fact[start : start + size] for fact in raw)) for start in starts)
    return embed_parts(network, recipe, parts, len(raw.images))


def _look_at(model: PairModel, scene: Scene, rows: FloatArray, number: int) -> list[_Scored]:
    """Take the scores of a pair of the scene, and of its look-alike, apart."""
    images = scene.shown + scene.others
    first, second = 2 * number, 2 * number + 1
    people = [scene.facts(image)["person_id"] for image in images]
    strangers = _strangers(scene.dataset, images, people, first)
    mean = mean_maxima(model.matching, rows[first], (rows[place] for place in strangers))
    wanted = {second: "altered copy" if images[second].altered else "same person"}
    known = [place for place in strangers if people[place] is not None]
    if people[first] is not None and known:
        scores = model.matching.scores(rows[first][None], rows[known])[0]
        wanted[known[int(scores.argmax())]] = "another person"
    views = [explain_pair(model, rows[first], rows[place], mean) for place in wanted]
    return [
        _Scored(images[first], images[place], relation, view)
        for (place, relation), view in zip(wanted.items(), views, strict=True)
    ]


def _strangers(
    dataset: str, images: Sequence[Chosen], people: Sequence[int | None], first: int
) -> list[int]:
    """Return which images show another person than the image `first`, as far as is known."""
    found = [
        place
        for place, (image, person) in enumerate(zip(images, people, strict=True))
        if image.row != images[first].row and (person is None or person != people[first])
    ]
    if not found:
        raise DataError(
            f"{dataset}: images of one person only",
            "other people to compare with",
            "Name another dataset.",
        )
    return found


def _facts(scene: Scene, scored: _Scored) -> dict[str, Any]:
    view = scored.view
    return {
        "images": [scene.facts(image) for image in (scored.first, scored.second)],
        "relation": scored.relation,
        "score": round(view.score, 4),
        "strangers_score": round(view.reference, 4),
        "matches": len(view.matches.strength),
    }
