"""Student and teacher: one step of self-distillation with masked patches (arXiv 2111.07832)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from reid.pretrain.backbone import PretrainBackbone
from reid.pretrain.centre import Centres
from reid.pretrain.head import ProjectionHead
from reid.pretrain.loss import class_loss, patch_loss, teacher_probabilities
from reid.pretrain.recipe import DistillationRecipe, PretrainRecipe


class Views(NamedTuple):
    """The crops of B images.

    Attributes:
        global_crops: [G, B, 3, H, W], normalised.
        local_crops: [L, B, 3, h, w], normalised.
        mask: [G, B, rows, columns], True where the student does not see a patch.
    """

    global_crops: Tensor
    local_crops: Tensor
    mask: Tensor


class TokenNetwork(nn.Module):
    """A backbone and its head, which is what student and teacher both are."""

    def __init__(self, backbone: PretrainBackbone, head: ProjectionHead) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head


class Step(NamedTuple):
    """What one batch gave.

    Attributes:
        losses: `loss`, to be minimised, and its parts `class` and `patch`.
        probabilities: [G·B, K] of the teacher's class tokens.
        features: [G·B, D], the teacher's class tokens.
    """

    losses: dict[str, Tensor]
    probabilities: Tensor
    features: Tensor


class _Tokens(NamedTuple):
    """Features and vectors [.., D] and [.., bottleneck] of class tokens, vectors of patches."""

    features: Tensor
    cls: Tensor
    patches: Tensor


class SelfDistillation(nn.Module):
    """A student that learns from a teacher, which follows it slowly.

    Logits of patches are worked out for masked patches alone. The teacher's centre needs the mean
    over all of them, and as the prototypes are linear that is the logit of the mean vector.
    """

    def __init__(
        self, student: TokenNetwork, teacher: TokenNetwork, recipe: DistillationRecipe
    ) -> None:
        super().__init__()
        self.student, self.teacher, self.recipe = student, teacher, recipe
        prototypes = teacher.head.last_layer.weight_g.shape[0]
        self.centres = Centres(prototypes, recipe.centre_momentum)
        self.teacher.requires_grad_(False)

    def forward(self, views: Views, class_temperature: float, patch_temperature: float) -> Step:
        """Return the losses of a batch and move the centres, which the losses did not see yet."""
        crops, mask = views.global_crops.flatten(0, 1), views.mask.flatten(0, 1)
        patches = self.recipe.lambda2 > 0
        with torch.no_grad():
            seen = _encode(self.teacher, crops, None, patches=patches)
            logits = self.teacher.head.class_logits(seen.cls)
            cls = teacher_probabilities(logits, self.centres.cls, class_temperature)
        hidden = _encode(self.student, crops, mask, patches=patches)
        losses = {"class": self._class_loss(hidden.cls, cls, views)}
        loss = self.recipe.lambda1 * losses["class"]
        mean_patch = None
        if patches:
            losses["patch"] = self._patch_loss(hidden, seen, mask.flatten(1), patch_temperature)
            loss = loss + self.recipe.lambda2 * losses["patch"]
            mean_patch = self.teacher.head.patch_logits(seen.patches.mean(dim=1))
        self.centres.update(logits, mean_patch)
        return Step({"loss": loss, **losses}, cls, seen.features)

    def _class_loss(self, masked: Tensor, teacher: Tensor, views: Views) -> Tensor:
        count, head = len(views.global_crops), self.student.head
        vectors = masked
        if self.recipe.separate_clean_view:
            clean = self.student.backbone.class_feature(views.global_crops.flatten(0, 1))
            vectors = head.vectors(clean)
        if len(views.local_crops):
            local = self.student.backbone.class_feature(views.local_crops.flatten(0, 1))
            vectors = torch.cat([vectors, head.vectors(local)])
        student = head.class_logits(vectors)
        crops = count + len(views.local_crops)
        return class_loss(
            student.view(crops, -1, student.shape[1]),
            teacher.view(count, -1, teacher.shape[1]),
            self.recipe.student_temperature,
        )

    def _patch_loss(
        self, hidden: _Tokens, seen: _Tokens, mask: Tensor, temperature: float
    ) -> Tensor:
        with torch.no_grad():
            logits = self.teacher.head.patch_logits(seen.patches[mask])
            teacher = teacher_probabilities(logits, self.centres.patch, temperature)
        student = self.student.head.patch_logits(hidden.patches[mask])
        return patch_loss(student, teacher, mask, self.recipe.student_temperature)


def build_distillation(recipe: PretrainRecipe) -> SelfDistillation:
    """Make student and teacher with the same fresh weights; the teacher has no stochastic depth."""
    still = recipe.model.model_copy(update={"drop_path": 0.0})
    size, width = recipe.views.global_size, recipe.model.shape.width
    student = TokenNetwork(
        PretrainBackbone(recipe.model, size, hides=True), ProjectionHead(width, recipe.head)
    )
    teacher = TokenNetwork(
        PretrainBackbone(still, size, hides=False), ProjectionHead(width, recipe.head)
    )
    follow(teacher, student, 0.0)
    return SelfDistillation(student, teacher, recipe.loss)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move every parameter of the teacher towards the student's of the same name.

    teacher = momentum · teacher + (1 - momentum) · student. A parameter that only one of them has
    stays as it is.
    """
    target = dict(student.named_parameters())
    pairs = [(own, target[name]) for name, own in teacher.named_parameters() if name in target]
    own: list[Tensor] = [pair[0] for pair in pairs]
    others: list[Tensor] = [pair[1] for pair in pairs]
    torch._foreach_mul_(own, momentum)
    torch._foreach_add_(own, others, alpha=1 - momentum)


def _encode(
    network: TokenNetwork, images: Tensor, mask: Tensor | None, *, patches: bool
) -> _Tokens:
    """Run a network over [B, 3, H, W]; without `patches` their part is empty and costs little."""
    if not patches:
        feature = network.backbone.class_feature(images, mask)
        vector = network.head.vectors(feature)
        return _Tokens(feature, vector, vector[:, None][:, :0])
    tokens = network.backbone(images, mask)
    vectors = network.head.vectors(tokens)
    return _Tokens(tokens[:, 0], vectors[:, 0], vectors[:, 1:])
