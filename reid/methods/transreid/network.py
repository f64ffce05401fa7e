"""The TransReID network."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reid.data.images import Batch
from reid.losses.triplet import triplet_loss
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.transreid.jigsaw import gather_pieces, piece_orders
from reid.methods.transreid.recipe import JigsawRecipe, SideInformationRecipe, TransReidRecipe
from reid.nn.bn_neck import BNNeck, classifier
from reid.nn.patch_view import PatchView
from reid.nn.processes import gather_rows
from reid.nn.side_information import SideInformation
from reid.nn.vision_transformer import Branch, Trunk

GLOBAL_SHARE = 0.5  # of the global feature in each loss; the local ones share the rest


class LocalBranches(nn.Module):
    """One more copy of the last block that sees the patches piece by piece."""

    def __init__(self, branch: Branch, patches: int, recipe: JigsawRecipe) -> None:
        super().__init__()
        self.branch = branch
        self.pieces = recipe.pieces
        self.groups = 0
        for order in piece_orders(patches, recipe):
            self.register_buffer(f"order_{self.groups}", order, persistent=False)
            self.groups += 1

    def forward(self, tokens: Tensor) -> Tensor:
        """Turn [B, 1 + N, D] into [B, pieces, D], all pieces of one length in one call."""
        features = []
        for group in range(self.groups):
            order = self.get_buffer(f"order_{group}")
            parts = self.branch(gather_pieces(tokens, order))
            features.append(parts.view(len(tokens), len(order), -1))
        return torch.cat(features, dim=1)


class TransReID(EmbeddingNetwork):
    """Trunk, a global and optionally several local branches, a neck and a classifier for each.

    Differs from the reference code: the last block and final norm of the backbone, which it keeps
    beside the branches without ever using them, and the classifier for ImageNet do not exist here;
    in the last block only the class token is computed, as no other output is used.
    """

    def __init__(self, recipe: TransReidRecipe, facts: DataFacts) -> None:
        super().__init__()
        model, shape = recipe.model, recipe.model.shape
        table = _side_information(model.side_information, facts, shape.width)
        image_size = (recipe.image.height, recipe.image.width)
        self.trunk = Trunk(shape, image_size, model.patch, model.strides, table)
        self.global_branch = Branch(shape)
        self.local_branches: LocalBranches | None = None
        parts = 1
        if model.jigsaw is not None:
            rows, columns = self.trunk.patch_embed.grid
            twin = copy.deepcopy(self.global_branch)  # both start as the same last block
            self.local_branches = LocalBranches(twin, rows * columns, model.jigsaw)
            parts += model.jigsaw.pieces
        self.necks = nn.ModuleList(BNNeck(shape.width) for _ in range(parts))
        self.classifiers = nn.ModuleList(
            classifier(shape.width, facts.num_classes) for _ in range(parts)
        )
        self.loss_recipe = recipe.loss
        self.neck = model.neck
        self.feature_size = parts * shape.width
        self.uses_cameras = table is not None

    def features(self, batch: Batch) -> Tensor:
        """Return the features before the necks, [B, parts, D], the global one first."""
        tokens = self.trunk(batch.images, batch.cameras, batch.views)
        features = self.global_branch(tokens)[:, None]
        if self.local_branches is None:
            return features  # type: ignore[no-any-return]
        return torch.cat([features, self.local_branches(tokens)], dim=1)

    def normalised(self, features: Tensor) -> list[Tensor]:
        """Return the [B, D] output of each part's neck for [B, parts, D]."""
        pairs = zip(self.necks, features.unbind(1), strict=True)
        return [neck(feature) for neck, feature in pairs]

    def scores(self, features: Tensor) -> list[Tensor]:
        """Return the [B, classes] logits of each part for [B, parts, D]."""
        pairs = zip(self.classifiers, self.normalised(features), strict=True)
        return [classify(feature) for classify, feature in pairs]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the identity and the triplet loss and their weighted sum."""
        recipe, labels = self.loss_recipe, gather_rows(batch.labels)
        features = gather_rows(self.features(batch))
        identity = self._share(
            [
                F.cross_entropy(score, labels, label_smoothing=recipe.label_smoothing)
                for score in self.scores(features)
            ]
        )
        triplet = self._share(
            [triplet_loss(part, labels, recipe.margin) for part in features.unbind(1)]
        )
        loss = recipe.id_weight * identity + recipe.triplet_weight * triplet
        return {"loss": loss, "identity": identity, "triplet": triplet}

    def per_image(self) -> list[nn.Module]:
        """Return the trunk and the branches."""
        parts = (self.trunk, self.global_branch, self.local_branches)
        return [part for part in parts if part is not None]

    def embed(self, batch: Batch) -> Tensor:
        """Return [B, parts · D]: the global feature, then the local ones over their number."""
        features = self.features(batch)
        parts = self.normalised(features) if self.neck == "after" else list(features.unbind(1))
        local = len(parts) - 1
        return torch.cat([parts[0], *(part / local for part in parts[1:])], dim=1)

    def view_patches(self, batch: Batch) -> PatchView:
        """Show what the global branch makes of the patches."""
        tokens = self.trunk(batch.images, batch.cameras, batch.views)
        return self.global_branch.view_patches(tokens, self.trunk.patch_embed.grid)

    def _share(self, losses: list[Tensor]) -> Tensor:
        if len(losses) == 1:
            return losses[0]
        local = torch.stack(losses[1:]).mean()
        return GLOBAL_SHARE * losses[0] + (1 - GLOBAL_SHARE) * local


def build(recipe: TransReidRecipe, facts: DataFacts) -> TransReID:
    """Make the network with fresh weights."""
    return TransReID(recipe, facts)


def _side_information(
    recipe: SideInformationRecipe, facts: DataFacts, width: int
) -> SideInformation | None:
    cameras = max(facts.num_cameras, 1) if recipe.camera else 1
    views = max(facts.num_views, 1) if recipe.view else 1
    if cameras * views == 1:
        return None
    return SideInformation(cameras, views, width, recipe.weight)
