"""Recipe of TransMatcher."""

from typing import Literal, Self

from pydantic import Field, model_validator

from reid.nn.resnet import RESNETS, Backbone, Ibn, map_size
from reid.params import Params
from reid.recipe import ImageRecipe, Recipe, Triple

FinalLayer = Literal["layer2", "layer3", "layer4"]
Matching = Literal["maximum", "vit", "cat", "cross"]
Pooling = Literal["max", "mean", "softmax"]


class PixelRecipe(ImageRecipe):
    """Size of the input; its pixels stay in [0, 1]."""

    height: int = Field(384, ge=16)
    width: int = Field(128, ge=16)
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)


class ModelRecipe(Params):
    """The network.

    Attributes:
        backbone: Sizes, or one of the names of the published residual networks.
        ibn: Kind of instance norms in the backbone.
        final_layer: Last stage of the backbone; its map has the cells that are matched.
        frozen_statistics: The feature network stays in evaluation mode in training, so that the
            batch norms of the backbone keep the statistics that its weights came with. To be
            switched off where a training starts from fresh weights.
        neck: Channels of the convolution behind the backbone; 0 for no convolution.
        layers: Maps of an image that are matched: the neck's, and one of each encoder layer.
        heads: Of the attention in the encoder.
        encoder_width: Hidden size of the encoder's perceptron.
        head_width: Hidden size of the perceptron that turns a row of maxima into a score.
        prior: Weight every pair of cells by a learned number.
        pooling: What becomes of the similarities of a cell with all cells of the other image;
            `max` is published, the others are ablations.
        position: Add a learned embedding of the position to the encoder's input; an ablation.
        symmetric_prior: Use the mean of the prior and its transpose, so that the order of two
            images does not matter.
        matching: `maximum`, or a transformer of another kind to compare with (experimental): `vit`
            compares one vector per image, `cat` sends the cells of both images through the encoder
            together, `cross` lets those of one attend to those of the other.
    """

    backbone: Backbone = RESNETS["resnet50"]
    ibn: Ibn = "b"
    final_layer: FinalLayer = "layer3"
    frozen_statistics: bool = True
    neck: int = Field(512, ge=0)
    layers: int = Field(3, ge=1)
    heads: int = Field(1, ge=1)
    encoder_width: int = Field(2048, ge=1)
    head_width: int = Field(2048, ge=1)
    prior: bool = True
    pooling: Pooling = "max"
    position: bool = False
    symmetric_prior: bool = False
    matching: Matching = "maximum"

    @model_validator(mode="after")
    def _backbone_has_it(self) -> Self:
        stage = int(self.final_layer.removeprefix("layer"))
        if stage > len(self.backbone.planes):
            raise ValueError(f"a final_layer among the {len(self.backbone.planes)} of the backbone")
        if self.ibn != "none" and self.backbone == RESNETS["resnet152"]:
            raise ValueError("ibn none for resnet152, of which no such weights exist")
        if self.width % self.heads:
            raise ValueError(f"a number of heads that divides {self.width} channels")
        return self

    @model_validator(mode="after")
    def _switches_fit(self) -> Self:
        if self.symmetric_prior and not self.prior:
            raise ValueError("prior true for symmetric_prior")
        if self.position and self.encoders == 0:
            raise ValueError("an encoder of single images for position: 2 layers, matching not cat")
        plain = (self.prior, self.pooling, self.symmetric_prior) == (True, "max", False)
        if self.matching != "maximum" and not plain:
            raise ValueError("matching maximum for another prior, pooling or symmetric_prior")
        return self

    @property
    def width(self) -> int:
        """Channels of a map."""
        return self.neck or self.backbone.channels(int(self.final_layer.removeprefix("layer")))

    @property
    def encoders(self) -> int:
        """Encoder layers that single images go through."""
        return 0 if self.matching == "cat" else self.layers - 1


class LossRecipe(Params):
    """The loss on the scores of all pairs of a batch.

    Attributes:
        name: Binary cross entropy of every pair, or the batch-hard triplet loss of QAConv.
        margin: For `triplet`, in units of the score.
    """

    name: Literal["pairwise_bce", "triplet"] = "pairwise_bce"
    margin: float = Field(16.0, gt=0)


class TransMatcherRecipe(Recipe):
    """Everything that decides a TransMatcher training run."""

    method: Literal["transmatcher"] = "transmatcher"
    image: PixelRecipe = PixelRecipe.model_validate({})
    model: ModelRecipe = ModelRecipe.model_validate({})
    loss: LossRecipe = LossRecipe.model_validate({})

    @model_validator(mode="after")
    def _pairs_have_no_mirror(self) -> Self:
        if self.embed_flip:
            raise ValueError("embed_flip false, as maps of two images cannot be added")
        return self

    @property
    def grid(self) -> tuple[int, int]:
        """Cells of a map, (rows, columns)."""
        return map_size(self.image.height, self.image.width, self.model.final_layer)
