"""The IDKL network."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.data.images import Batch
from reid.errors import CheckpointError
from reid.losses.purification import certainty_loss, discrepancy_loss
from reid.losses.triplet_variants import variant_triplet_loss
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.idkl.modality import (
    ModalityClassifier,
    Spectra,
    pair_spectra,
    rolled_labels,
    share_right,
)
from reid.methods.idkl.purifier import Purified, Purifier
from reid.methods.idkl.recipe import IdklRecipe
from reid.methods.idkl.terms import (
    Sides,
    Terms,
    contrast_terms,
    graph_terms,
    logit_terms,
    weighted,
)
from reid.nn.bn_neck import BNNeck
from reid.nn.gem import generalised_mean
from reid.nn.gradient_reversal import reverse_gradient
from reid.nn.processes import gather_rows
from reid.nn.resnet import resnet_parts, resnet_stages

_OPTIONAL = {"purifier", "certainty", "discriminator", "confuser"}
"""Parts that a recipe may do without."""


class Pooled(NamedTuple):
    """What the losses see of a batch.

    Attributes:
        shared: [B, D] of the shared branch, before its neck.
        specific: [B, D] of the specific branch, purified where there is a purifier.
        maps: The maps of the purification, None where no loss asks for them.
    """

    shared: Tensor
    specific: Tensor
    maps: Purified | None


class Branch(nn.Module):
    """The late stages of one branch, its neck and its classifier.

    The classifier keeps torch's initial weights, as in the published code.
    """

    def __init__(self, stages: dict[str, nn.Module], size: int, classes: int) -> None:
        super().__init__()
        self.stages = nn.Sequential()
        for name, stage in stages.items():
            self.stages.add_module(name, stage)
        self.neck = BNNeck(size)
        self.classifier = nn.Linear(size, classes, bias=False)


class Idkl(EmbeddingNetwork):
    """A shared front, and behind it a branch for what the spectra share and one for the rest.

    All images go through the same weights whatever their spectrum. Retrieval uses the shared branch
    alone, and at test time nothing else is computed.

    Differs from the published code: stages that nobody runs do not exist; the confuser may reverse
    gradients, as the paper has it; weights of the losses do not depend on the size of a batch; maps
    may be pooled in stripes.
    """

    idle_parameters = True

    def __init__(self, recipe: IdklRecipe, facts: DataFacts) -> None:
        super().__init__()
        model, loss = recipe.model, recipe.loss
        channels, classes = model.backbone.channels(4), facts.num_classes
        self._stripes, size = model.stripes, channels * model.stripes
        self.feature_size, self.uses_cameras = size, False
        self.loss_recipe, self._reversal = loss, loss.reversal
        self.front = nn.Sequential()
        for name, part in resnet_parts(model.backbone, "layer2").items():
            self.front.add_module(name, part)
        self.shared, self.specific = (
            Branch(
                resnet_stages(model.backbone, range(3, 5), last_stride=model.last_stride),
                size,
                classes,
            )
            for _ in range(2)
        )
        self.purifier = Purifier(channels, model) if model.purifier else None
        judged = loss.weights.purifier and loss.purification == "code"
        self.certainty = nn.Linear(size, classes, bias=False) if judged else None
        width = model.modality_width
        seen, confused = loss.weights.discriminator, loss.confuser != "none"
        self.discriminator = ModalityClassifier(size, width) if seen else None
        self.confuser = ModalityClassifier(size, width) if confused else None

    def start_epoch(self, done: float) -> None:
        """Set the factor of the reversed gradient."""
        if self.loss_recipe.reversal_warmup:
            # 2 / (1 + exp(-10 t)) - 1
            self._reversal = self.loss_recipe.reversal * math.tanh(5 * done)

    def embed(self, batch: Batch) -> Tensor:
        """Return the [B, D] features of the shared branch, after its neck."""
        maps = self.shared.stages(self.front(batch.images))
        return self.shared.neck(self._pool(maps))  # type: ignore[no-any-return]

    def branches(self, batch: Batch) -> dict[str, Tensor]:
        """Return the [B, D] features of both branches, after their necks."""
        front = self.front(batch.images)
        maps = self.specific.stages(front)
        purified = maps if self.purifier is None else self.purifier(maps)
        shared = self._pool(self.shared.stages(front))
        return {
            "shared": self.shared.neck(shared),
            "specific": self.specific.neck(self._pool(purified)),
        }

    def pooled(self, images: Tensor) -> Pooled:
        """Run both branches on [B, 3, H, W]."""
        front = self.front(images)
        shared = self._pool(self.shared.stages(front))
        maps = self.specific.stages(front)
        if self.purifier is None:
            return Pooled(shared, self._pool(maps), None)
        recipe = self.loss_recipe
        if not recipe.weights.purifier and recipe.purification == "code":
            return Pooled(shared, self._pool(self.purifier(maps)), None)
        parts = self.purifier.parts(maps)
        return Pooled(shared, self._pool(parts.purified), parts)

    def _pool(self, maps: Tensor) -> Tensor:
        return generalised_mean(maps, stripes=self._stripes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted sum as `loss`, and every term without its weight.

        `accuracy_modality_specific` and `accuracy_modality_shared` are the shares of images whose
        spectrum the classifier of a branch tells rightly.

        Raises:
            DataError: The spectra of the batch do not pair.
        """
        labels, modalities = gather_rows(batch.labels), gather_rows(batch.modalities)
        spectra = pair_spectra(labels, modalities)
        pooled = self.pooled(batch.images)
        with torch.autocast(batch.images.device.type, enabled=False):
            whole = batch._replace(labels=labels, modalities=modalities)
            return self.head_losses(pooled, spectra, whole)

    def head_losses(self, pooled: Pooled, spectra: Spectra, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of features, which are float32.

        Args:
            pooled: Of the images of this process.
            spectra: Of those of all processes.
            batch: Of those of all processes; its images are not used.
        """
        recipe, labels = self.loss_recipe, batch.labels
        shared, raw = gather_rows(pooled.shared), gather_rows(pooled.specific)
        pooled = Pooled(shared, raw, pooled.maps)
        if recipe.purification == "paper" and pooled.maps is not None:
            raw = gather_rows(self._pool(pooled.maps.raw))
        shared, specific = self.shared.neck(pooled.shared), self.specific.neck(raw)
        logits = self.shared.classifier(shared), self.specific.classifier(specific)
        terms = self._person_terms("shared", logits[0], pooled.shared, labels)
        terms |= self._person_terms("specific", logits[1], raw, labels)
        terms |= contrast_terms("shared", shared, batch, recipe)
        terms |= contrast_terms("specific", specific, batch, recipe)
        modality, right = self._modality_terms(shared, specific, batch.modalities)
        detach = recipe.detach_teacher
        sides = Sides.of(pooled.shared, pooled.specific, spectra, detach)
        terms |= modality | graph_terms(sides, recipe)
        terms |= logit_terms(Sides.of(*logits, spectra, detach), spectra.images, recipe)
        if pooled.maps is not None and recipe.weights.purifier:
            terms |= self._purifier_terms(pooled, pooled.maps, batch)
        total = torch.stack(list(weighted(terms, recipe))).sum()
        return {"loss": total, **terms, **right}

    def per_image(self) -> list[nn.Module]:
        """Return the front, the late stages of both branches, and the purifier."""
        parts = (self.front, self.shared.stages, self.specific.stages, self.purifier)
        return [part for part in parts if part is not None]

    def fit_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights without those of parts that this recipe does without.

        Raises:
            CheckpointError: They are for another number of people, or for another width.
        """
        theirs, own = (w["shared.classifier.weight"].shape for w in (state, self.state_dict()))
        if theirs[0] != own[0]:
            raise CheckpointError(
                f"weights for {theirs[0]} people, and {own[0]} in the training dataset",
                "the same people",
                "Name the dataset that the weights were trained on, as its reader read it then.",
            )
        if theirs[1] != own[1]:
            raise CheckpointError(
                f"weights for features of {theirs[1]} numbers, and {own[1]} by `model`",
                "the same width",
                "Set backbone and stripes of the weights in the recipe.",
            )
        left_out = _OPTIONAL - {name for name, _ in self.named_children()}
        return {key: value for key, value in state.items() if key.split(".")[0] not in left_out}

    def _person_terms(self, branch: str, logits: Tensor, features: Tensor, labels: Tensor) -> Terms:
        recipe, terms = self.loss_recipe, {}
        if recipe.weights.identity:
            smoothing = recipe.label_smoothing
            terms[f"identity_{branch}"] = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        if recipe.weights.triplet:
            terms[f"triplet_{branch}"] = variant_triplet_loss(
                features, labels, recipe.margin, recipe.triplet
            )
        return terms

    def _modality_terms(
        self, shared: Tensor, specific: Tensor, modalities: Tensor
    ) -> tuple[Terms, Terms]:
        """Return the losses of the classifiers of the spectrum, and how often they are right."""
        terms, right = {}, {}
        if self.discriminator is not None:
            told = self.discriminator(specific)
            terms["modality_specific"] = F.cross_entropy(told, modalities)
            right["accuracy_modality_specific"] = share_right(told, modalities)
        if self.confuser is not None:
            rolled = self.loss_recipe.confuser == "rolled_labels"
            told = self.confuser(self._as_confused(shared))
            taught = rolled_labels(modalities) if rolled else modalities
            terms["modality_shared"] = F.cross_entropy(told, taught)
            right["accuracy_modality_shared"] = share_right(told, modalities)
        return terms, right

    def _as_confused(self, shared: Tensor) -> Tensor:
        """Return the features [B, D] with the gradient that the confuser is to send back."""
        match self.loss_recipe.confuser:
            case "grl":
                return reverse_gradient(shared, self._reversal)
            case "probe":
                return shared.detach()
            case _:
                return shared

    def _purifier_terms(self, pooled: Pooled, maps: Purified, batch: Batch) -> Terms:
        form, labels = self.loss_recipe.purification, batch.labels
        raw, normed, reduced, enhanced = (gather_rows(self._pool(part)) for part in maps[:4])
        judge = self.specific.classifier if self.certainty is None else self.certainty
        terms = {
            "purifier_certainty": certainty_loss(judge(raw), judge(enhanced), form),
            "purifier_discrepancy": discrepancy_loss(
                normed, reduced, labels, batch.modalities == 1, form
            ),
        }
        if form == "paper":
            logits = self.specific.classifier(self.specific.neck(pooled.specific))
            told = self._person_terms("specific", logits, pooled.specific, labels)
            terms |= {f"purifier_{name.removesuffix('_specific')}": told[name] for name in told}
        return terms


def build(recipe: IdklRecipe, facts: DataFacts) -> Idkl:
    """Make the network with fresh weights."""
    return Idkl(recipe, facts)
