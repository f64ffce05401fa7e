"""The network of PersonViT's fine-tuning."""

import torch.nn.functional as F
from torch import Tensor, nn

from reid.data.images import Batch
from reid.losses.identity_triplet import identity_triplet_loss
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.personvit.pooling import pool
from reid.methods.personvit.recipe import PersonVitRecipe
from reid.nn.bn_neck import BNNeck, classifier
from reid.nn.patch import PatchEmbedding
from reid.nn.patch_view import PatchView
from reid.nn.plain_transformer import PlainTransformer
from reid.nn.processes import gather_rows
from reid.nn.stem import ConvolutionStem


class PersonVit(EmbeddingNetwork):
    """A plain vision transformer, a neck and a classifier.

    Differs from the reference code: the backbone's unused classifier for ImageNet does not exist
    here; without pooling the last block computes the class token alone; a batch of one image keeps
    its first dimension under every pooling.
    """

    def __init__(self, recipe: PersonVitRecipe, facts: DataFacts) -> None:
        super().__init__()
        model, shape = recipe.model, recipe.model.shape
        size = (recipe.image.height, recipe.image.width)
        self.backbone = PlainTransformer(
            shape,
            ConvolutionStem(size, shape.width)
            if model.stem
            else PatchEmbedding(size, model.patch, model.strides, shape.width),
        )
        self.feature_size = model.reduction or shape.width
        self.uses_cameras = False
        self.reduction: nn.Linear | None = None
        if model.reduction is not None:
            self.reduction = nn.Linear(shape.width, model.reduction, bias=False)
            nn.init.xavier_uniform_(self.reduction.weight)
        self.neck = BNNeck(self.feature_size)
        self.classifier = classifier(self.feature_size, facts.num_classes)
        self.model_recipe, self.loss_recipe = model, recipe.loss

    def features(self, images: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into the features before the neck, [B, D]."""
        pooling = self.model_recipe.pooling
        if pooling == "class":
            features = self.backbone.class_feature(images)
        else:
            features = pool(self.backbone(images), pooling)
        return features if self.reduction is None else self.reduction(features)

    def score(self, features: Tensor) -> Tensor:
        """Return the [B, classes] logits for features [B, D]."""
        shown = F.dropout(self.neck(features), self.model_recipe.dropout, self.training)
        return self.classifier(shown)  # type: ignore[no-any-return]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the identity and the triplet loss and their weighted sum."""
        features, labels = gather_rows(self.features(batch.images)), gather_rows(batch.labels)
        seen = F.normalize(features) if self.loss_recipe.normalised_triplet else features
        return identity_triplet_loss(self.score(features), seen, labels, self.loss_recipe)

    def per_image(self) -> list[nn.Module]:
        """Return the backbone, and the reduction behind it."""
        return [self.backbone] if self.reduction is None else [self.backbone, self.reduction]

    def embed(self, batch: Batch) -> Tensor:
        """Return the [B, D] features before or after the neck."""
        features = self.features(batch.images)
        return self.neck(features) if self.model_recipe.neck == "after" else features

    def view_patches(self, batch: Batch) -> PatchView:
        """Show what the last block makes of the patches."""
        return self.backbone.view_patches(batch.images)


def build(recipe: PersonVitRecipe, facts: DataFacts) -> PersonVit:
    """Make the network with fresh weights."""
    return PersonVit(recipe, facts)
