"""Recipe of IDKL."""

from typing import Literal, Self

from pydantic import Field, model_validator

from reid.losses.triplet_variants import TripletVariant
from reid.nn.resnet import RESNETS, Backbone, map_size
from reid.params import Params
from reid.recipe import ImageRecipe, Recipe, SamplerRecipe, Triple

Form = Literal["code", "paper"]


class ImageNetRecipe(ImageRecipe):
    """Size of the input, and the normalisation of ImageNet."""

    height: int = Field(384, ge=16)
    width: int = Field(144, ge=16)
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)


class ModelRecipe(Params):
    """The network.

    Attributes:
        backbone: Sizes of four stages, or one of the names of the published residual networks.
        last_stride: Stride of the last stage.
        stripes: Horizontal parts of the map that are pooled apart, so that a feature knows where on
            a body it saw something; 1 in the paper and its code.
        purifier: Take what the spectrum says out of the specific features; off in an ablation.
        mask: What a mask of the purifier weighs: every cell of a `map` (published code), or
            channels, judged by their mean over the map (`pooled`, the paper).
        mask_reduction: Channels of the map for one hidden channel of a mask.
        modality_width: Hidden size of the classifiers that tell the spectrum.
    """

    backbone: Backbone = RESNETS["resnet50"]
    last_stride: Literal[1, 2] = 1
    stripes: int = Field(1, ge=1)
    purifier: bool = True
    mask: Literal["map", "pooled"] = "map"
    mask_reduction: int = Field(16, ge=1)
    modality_width: int = Field(100, ge=1)

    @model_validator(mode="after")
    def _four_stages(self) -> Self:
        if len(self.backbone.planes) != 4:
            raise ValueError("a backbone of four stages: two in front and two in each branch")
        if self.backbone.channels(4) < self.mask_reduction:
            raise ValueError("a mask_reduction of at most the channels of the last stage")
        return self


class WeightsRecipe(Params):
    """Weight of each kind of loss; one that is 0 is not computed.

    The defaults are those of the published code for a batch of 120 images, which it changes for any
    other. `within` compares the two branches of one spectrum, `across` the two spectra in the
    shared branch.

    Attributes:
        identity: Cross entropy of the person, in both branches.
        triplet: Triplet loss, in both branches.
        discriminator: Cross entropy of the spectrum in the specific branch.
        confuser: The same in the shared branch, against its features.
        purifier: What the purifier has to improve.
        graph_within: Agreement of distances between the people of a batch.
        graph_across: The same.
        graph_mixed: The same, of each spectrum with a set of which one half is of either spectrum
            (published code only).
        logits_within: Agreement of logits.
        logits_across: The same.
        grouped_within: Agreement of logits joined over the people of a batch (published code only).
        grouped_across: The same.
        contrast_across: Supervised contrast of the necked features of both branches with those of
            the other spectrum; not in the paper.
        contrast_within: The same with those of their own spectrum.
    """

    identity: float = Field(1.0, ge=0)
    triplet: float = Field(1.0, ge=0)
    discriminator: float = Field(1.0, ge=0)
    confuser: float = Field(1.0, ge=0)
    purifier: float = Field(0.1, ge=0)
    graph_within: float = Field(0.6, ge=0)
    graph_across: float = Field(1.0, ge=0)
    graph_mixed: float = Field(1.0, ge=0)
    logits_within: float = Field(0.8, ge=0)
    logits_across: float = Field(1.0, ge=0)
    grouped_within: float = Field(0.8, ge=0)
    grouped_across: float = Field(1.0, ge=0)
    contrast_across: float = Field(0.0, ge=0)
    contrast_within: float = Field(0.0, ge=0)


class LossRecipe(Params):
    """The losses.

    Attributes:
        margin: Of the triplet losses; null for the soft margin.
        triplet: Which distances they compare; those of the batch-hard loss by default.
        label_smoothing: Share of the target of a person that is spread over all people.
        confuser: How the shared branch unlearns the spectrum: `grl` reverses the gradient of a
            classifier of the spectrum (the paper), `rolled_labels` trains features and classifier
            towards labels half of which are wrong (published code), `probe` only measures what such
            a classifier could tell and leaves the features alone, `none`.
        reversal: Factor of the reversed gradient.
        reversal_warmup: The factor rises from 0 as 2 / (1 + exp(-10 t)) - 1 with the share t of the
            training that is done.
        purification: Form of the purifier's losses: `code`, or `paper`, where raw and purified
            features both tell the person.
        alignment: Form of the agreement of distances and logits: `code`, or `paper`.
        detach_teacher: The specific branch is not drawn towards the shared one.
        temperature: Of the contrast.
        weights: Of the losses.
    """

    margin: float | None = 1.3
    triplet: TripletVariant = TripletVariant()
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    confuser: Literal["grl", "rolled_labels", "probe", "none"] = "grl"
    reversal: float = Field(1.0, gt=0)
    reversal_warmup: bool = False
    purification: Form = "code"
    alignment: Form = "code"
    detach_teacher: bool = False
    temperature: float = Field(0.1, gt=0)
    weights: WeightsRecipe = WeightsRecipe.model_validate({})

    @model_validator(mode="after")
    def _terms_of_the_form(self) -> Self:
        weights = self.weights
        coded = (weights.graph_mixed, weights.grouped_within, weights.grouped_across)
        if self.alignment == "paper" and any(coded):
            raise ValueError(
                "weights 0 of graph_mixed, grouped_within and grouped_across with alignment paper"
            )
        if (self.confuser == "none") != (weights.confuser == 0):
            raise ValueError("weights.confuser 0 with confuser none, and with no other")
        return self


class PairedSamplerRecipe(SamplerRecipe):
    """Batches of `identities` people with `images` pictures each, half of them infrared."""

    name: Literal["cross_modal"] = "cross_modal"
    identities: int = Field(12, ge=2)
    images: int = Field(10, ge=2)


class IdklRecipe(Recipe):
    """Everything that decides an IDKL training run."""

    method: Literal["idkl"] = "idkl"
    image: ImageNetRecipe = ImageNetRecipe.model_validate({})
    sampler: PairedSamplerRecipe = PairedSamplerRecipe.model_validate({})
    model: ModelRecipe = ModelRecipe.model_validate({})
    loss: LossRecipe = LossRecipe.model_validate({})

    @model_validator(mode="after")
    def _purifier_has_losses(self) -> Self:
        if not self.model.purifier and self.loss.weights.purifier:
            raise ValueError("loss.weights.purifier 0 with model.purifier false")
        return self

    @model_validator(mode="after")
    def _maps_have_something_to_normalise(self) -> Self:
        model, image = self.model, self.image
        # the third stage has the stride 2 that the last one may do without
        cells = map_size(
            image.height, image.width, "layer4" if model.last_stride == 2 else "layer3"
        )
        if model.purifier and cells == (1, 1):
            raise ValueError("images larger than one cell of the last stage with model.purifier")
        return self
