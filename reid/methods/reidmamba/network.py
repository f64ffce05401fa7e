"""The ReIDMamba network."""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from reid.data.images import Batch
from reid.errors import ParamsError
from reid.losses.rank_correlation import inter_loss, intra_loss
from reid.losses.smoothed_identity import smoothed_identity_loss
from reid.losses.triplet_variants import variant_triplet_loss
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.reidmamba.branches import FUSIONS, IdentityHead, PowerMean
from reid.methods.reidmamba.recipe import ModelRecipe, ReidMambaRecipe
from reid.nn.bidirectional_mixer import BidirectionalMixer
from reid.nn.class_tokens import ClassTokenPlaces
from reid.nn.mamba_block import NORM_FLOOR, MambaBlock, drop_rate, join_residual
from reid.nn.patch import PatchEmbedding
from reid.nn.precision import at_least_single
from reid.nn.processes import gather_rows
from reid.nn.scan.backends import Choice, choose_backend
from reid.nn.side_information import check_ids

OWN_BLOCKS = 2  # of each branch


class Stream(NamedTuple):
    """Output [B, L, D] of the last mixer and the sum of all before it, None before the first."""

    hidden: Tensor
    residual: Tensor | None


class ReIDMamba(EmbeddingNetwork):
    """Patches and class tokens, a trunk of Mamba blocks, and branches with fewer and fewer tokens.

    Branch b puts each 2^b neighbouring class tokens together. The names of all parameters are those
    of the published code, so that its checkpoints load as they are.

    Differs from the reference code: cameras are numbered as numbers and not as text, and an unknown
    one (-1) gets no embedding; regularisers take the groups from the labels, in single precision;
    of the exponents of `gem`, those that it never uses do not exist.
    """

    def __init__(self, recipe: ReidMambaRecipe, facts: DataFacts) -> None:
        super().__init__()
        model, width = recipe.model, recipe.model.backbone.embed
        size = (recipe.image.height, recipe.image.width)
        self.patch_embed = PatchEmbedding(size, model.patch, model.strides, width)
        patches = self.patch_embed.grid[0] * self.patch_embed.grid[1]
        _require_patches(patches, model.tokens)
        self.pos_embed = _token_table(1, patches, width)
        self.cls_token = _token_table(1, model.tokens, width)
        self.pos_embed_cls = _token_table(1, model.tokens, width)
        self.sie_embed: nn.Parameter | None = None
        if model.side_information.camera and facts.num_cameras > 1:
            self.sie_embed = _token_table(facts.num_cameras, 1, width)
        self.places = nn.ModuleList(
            ClassTokenPlaces(patches, model.tokens // 2**b) for b in range(model.branches)
        )
        trunk = model.backbone.depth - OWN_BLOCKS
        self.layers = nn.ModuleList(_block(model, index) for index in range(trunk))
        self._make_branches(model, facts.num_classes)
        self.model_recipe, self.loss_recipe = model, recipe.loss
        self.rank_weights = recipe.loss.rank.weights(model.branches)
        self.uses_cameras = self.sie_embed is not None

    def _make_branches(self, model: ModelRecipe, num_classes: int) -> None:
        width, depth, branches = model.backbone.embed, model.backbone.depth, range(model.branches)
        last = range(depth - OWN_BLOCKS, depth)
        short = width // model.reduction
        feature = model.tokens * short  # alike in all branches
        self.multi_layers = nn.ModuleList(
            nn.ModuleList(_block(model, index) for index in last) for _ in branches
        )
        self.gems = nn.ModuleList(PowerMean() for _ in branches[1:] if model.fusion == "gem")
        self.drop_path = DropPath(model.drop_path)
        self.norm_fs = nn.ModuleList(nn.RMSNorm(width, eps=NORM_FLOOR) for _ in branches)
        self.necks = nn.ModuleList(_neck(width, short * 2**b) for b in branches)
        self.norm_necks = nn.ModuleList(nn.RMSNorm(feature, eps=NORM_FLOOR) for _ in branches)
        self.bnnecks = nn.ModuleList(IdentityHead(feature, num_classes) for _ in branches)
        self.feature_size = len(branches) * feature

    def tokens(self, images: Tensor, cameras: Tensor) -> Tensor:
        """Return the input of the first block, [B, N + n, D].

        Raises:
            DataError: A camera is beyond those of the network, or the images have another size.
        """
        patches = self.patch_embed(images) + self.pos_embed
        classes = (self.cls_token + self.pos_embed_cls).expand(len(images), -1, -1)
        tokens = self._places(0).join(patches, classes)
        if self.sie_embed is None:
            return tokens
        check_ids("camera", cameras, len(self.sie_embed))
        known = (cameras >= 0).view(-1, 1, 1)
        weight = self.model_recipe.side_information.weight
        return tokens + weight * self.sie_embed[cameras.clamp_min(0)] * known

    def trunk(self, images: Tensor, cameras: Tensor) -> Stream:
        """Run the blocks that all branches share."""
        stream = Stream(self.tokens(images, cameras), None)
        for block in self.layers:
            stream = Stream(*block(*stream))
        return stream

    def branch_input(self, stream: Stream, branch: int) -> Stream:
        """Return what a branch begins with.

        It is the trunk's stream; from the second branch on with its sum taken and fewer class
        tokens in it.
        """
        if branch == 0:
            return stream
        tokens = join_residual(*stream, self._blocks(branch)[0].drop_path)
        every, fewer = self._places(0), self._places(branch)
        fuse = self.gems[branch - 1] if self.gems else FUSIONS[self.model_recipe.fusion]
        runs = every.classes(tokens).reshape(len(tokens), -1, 2**branch, tokens.shape[2])
        return Stream(fewer.join(every.patches(tokens), fuse(runs)), None)

    def branch_classes(self, stream: Stream, branch: int) -> Tensor:
        """Run the blocks of a branch and return its class tokens, normalised, [B, n_b, D]."""
        for block in self._blocks(branch):
            stream = Stream(*block(*stream))
        classes = self._places(branch).classes(join_residual(*stream, self.drop_path))
        return self.norm_fs[branch](classes)  # type: ignore[no-any-return]

    def shrink(self, classes: Tensor, branch: int) -> Tensor:
        """Turn the class tokens [B, n_b, D] of a branch into its feature [B, F]."""
        flat = at_least_single(self.necks[branch](classes).flatten(1))
        return self.norm_necks[branch](flat)  # type: ignore[no-any-return]

    def features(self, batch: Batch) -> list[Tensor]:
        """Return the [B, F] feature of each branch before its neck."""
        stream = self.trunk(batch.images, batch.cameras)
        return [
            self.shrink(self.branch_classes(self.branch_input(stream, b), b), b)
            for b in range(self.model_recipe.branches)
        ]

    def scores(self, features: list[Tensor]) -> list[Tensor]:
        """Return the [B, classes] logits of each branch for its [B, F] feature."""
        return [head(feature) for head, feature in zip(self.bnnecks, features, strict=True)]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return all losses with a weight, each a mean over branches, and their weighted sum."""
        recipe, labels = self.loss_recipe, gather_rows(batch.labels)
        features = [gather_rows(feature) for feature in self.features(batch)]
        scores = self.scores(features)
        identity = [smoothed_identity_loss(s, labels, recipe.label_smoothing) for s in scores]
        triplet = [variant_triplet_loss(f, labels, recipe.margin, recipe.triplet) for f in features]
        parts = {"identity": torch.stack(identity).mean(), "triplet": torch.stack(triplet).mean()}
        loss = recipe.id_weight * parts["identity"] + recipe.triplet_weight * parts["triplet"]
        unit = [F.normalize(feature) for feature in features]
        kinds = zip(("intra", "inter"), (intra_loss, inter_loss), self.rank_weights, strict=True)
        for kind, function, weight in kinds:
            if weight:
                parts[kind] = function(unit, labels, recipe.rank.temperature)
                loss = loss + weight * parts[kind]
        return {"loss": loss, **parts}

    def per_image(self) -> list[nn.Module]:
        """Return all but the necks before the classifiers."""
        return [part for name, part in self.named_children() if name != "bnnecks"]

    def embed(self, batch: Batch) -> Tensor:
        """Return [B, branches · F]: the features of all branches, each of length 1."""
        return torch.cat([F.normalize(feature) for feature in self.features(batch)], dim=1)

    def backends(self, device: str) -> dict[str, Choice]:
        """Return which scan its blocks use on a device."""
        return {"scan": choose_backend(self.model_recipe.scan, device)}

    def _places(self, branch: int) -> ClassTokenPlaces:
        return cast(ClassTokenPlaces, self.places[branch])

    def _blocks(self, branch: int) -> list[MambaBlock]:
        return cast(list[MambaBlock], list(cast(nn.ModuleList, self.multi_layers[branch])))


def build(recipe: ReidMambaRecipe, facts: DataFacts) -> ReIDMamba:
    """Make the network with fresh weights."""
    return ReIDMamba(recipe, facts)


def _block(model: ModelRecipe, index: int) -> MambaBlock:
    width, depth = model.backbone.embed, model.backbone.depth
    mixer = BidirectionalMixer(width, depth=depth, scan=model.scan, recompute=model.recompute)
    return MambaBlock(mixer, width, drop_rate(model.drop_path, index, depth))


def _neck(width: int, outputs: int) -> nn.Linear:
    neck = nn.Linear(width, outputs, bias=False)
    nn.init.trunc_normal_(neck.weight, std=0.02)
    return neck


def _token_table(rows: int, columns: int, width: int) -> nn.Parameter:
    table = nn.Parameter(torch.empty(rows, columns, width))
    nn.init.trunc_normal_(table, std=0.02)
    return table


def _require_patches(patches: int, tokens: int) -> None:
    if tokens > patches:
        raise ParamsError(
            f"model.tokens {tokens} among {patches} patches",
            "at most as many class tokens as patches",
            "Reduce `model.tokens`, `model.patch` or `model.stride`, or enlarge `image`.",
        )
