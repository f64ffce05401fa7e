"""The losses of IDKL by name, each without its weight."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from reid.data.images import Batch
from reid.losses.cross_modal_contrast import cross_modal_contrast
from reid.losses.graph_alignment import graph_alignment, half_of_each, paper_graph_alignment
from reid.losses.logit_alignment import divergence, joined_over_people, symmetric_divergence
from reid.methods.idkl.modality import Spectra
from reid.methods.idkl.recipe import LossRecipe

Terms = dict[str, Tensor]

WEIGHT_OF_TERM = {
    "identity_shared": "identity",
    "identity_specific": "identity",
    "triplet_shared": "triplet",
    "triplet_specific": "triplet",
    "modality_specific": "discriminator",
    "modality_shared": "confuser",
    "purifier_certainty": "purifier",
    "purifier_discrepancy": "purifier",
    "purifier_identity": "purifier",
    "purifier_triplet": "purifier",
    "graph_visible": "graph_within",
    "graph_infrared": "graph_within",
    "graph_across": "graph_across",
    "graph_mixed_visible": "graph_mixed",
    "graph_mixed_infrared": "graph_mixed",
    "logits_visible": "logits_within",
    "logits_infrared": "logits_within",
    "logits_across": "logits_across",
    "grouped_visible": "grouped_within",
    "grouped_infrared": "grouped_within",
    "grouped_across": "grouped_across",
    "contrast_across_shared": "contrast_across",
    "contrast_across_specific": "contrast_across",
    "contrast_within_shared": "contrast_within",
    "contrast_within_specific": "contrast_within",
}
"""Name of the weight in the recipe by which each term is multiplied."""


class Sides(NamedTuple):
    """The same quantity of both branches in both spectra, rows paired."""

    shared_visible: Tensor
    shared_infrared: Tensor
    specific_visible: Tensor
    specific_infrared: Tensor

    @classmethod
    def of(cls, shared: Tensor, specific: Tensor, spectra: Spectra, detach: bool) -> "Sides":
        """Pick the rows of each spectrum.

        Args:
            shared: [B, D].
            specific: [B, D].
            detach: No gradient goes into the specific branch.
        """
        teacher = specific.detach() if detach else specific
        return cls(*(x[rows] for x in (shared, teacher) for rows in spectra[:2]))


def graph_terms(features: Sides, recipe: LossRecipe) -> Terms:
    """Compare distances: between the branches (TGSA), and between the spectra (MDR).

    Args:
        features: Before the necks.
    """
    align = graph_alignment if recipe.alignment == "code" else paper_graph_alignment
    a, b, c, d = features
    weights, terms = recipe.weights, {}
    if weights.graph_within:
        terms["graph_visible"], terms["graph_infrared"] = align(a, c), align(b, d)
    if weights.graph_across:
        terms["graph_across"] = align(a, b)
    if weights.graph_mixed:
        mixed = half_of_each(a, b)
        terms["graph_mixed_visible"] = align(a, mixed)
        terms["graph_mixed_infrared"] = align(mixed, b)
    return terms


def logit_terms(logits: Sides, images: int, recipe: LossRecipe) -> Terms:
    """Compare logits: between the branches (CSA), and between the spectra (MDR).

    Args:
        images: Of each person in each spectrum.
    """
    align = symmetric_divergence if recipe.alignment == "code" else divergence
    weights = recipe.weights
    terms: Terms = {}
    for name, within, across in (
        ("logits", weights.logits_within, weights.logits_across),
        ("grouped", weights.grouped_within, weights.grouped_across),
    ):
        if name == "grouped" and (within or across):
            logits = Sides(*(joined_over_people(side, images) for side in logits))
        a, b, c, d = logits
        if within:
            terms[f"{name}_visible"], terms[f"{name}_infrared"] = align(a, c), align(b, d)
        if across:
            terms[f"{name}_across"] = align(a, b)
    return terms


def contrast_terms(branch: str, necked: Tensor, batch: Batch, recipe: LossRecipe) -> Terms:
    """Contrast the features [B, D] of a branch with those of either spectrum."""
    weights = recipe.weights
    if not weights.contrast_across and not weights.contrast_within:
        return {}
    across, within = cross_modal_contrast(
        necked, batch.labels, batch.modalities, recipe.temperature
    )
    terms = {f"contrast_across_{branch}": across} if weights.contrast_across else {}
    return terms | ({f"contrast_within_{branch}": within} if weights.contrast_within else {})


def weighted(terms: Terms, recipe: LossRecipe) -> Iterator[Tensor]:
    """Multiply every term by its weight."""
    for name, term in terms.items():
        yield getattr(recipe.weights, WEIGHT_OF_TERM[name]) * term
