"""The plain baseline network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reid.data.images import Batch
from reid.errors import CheckpointError, ParamsError
from reid.losses.identity_triplet import identity_triplet_loss
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.bot.recipe import BotRecipe
from reid.nn.bn_neck import BNNeck, classifier
from reid.nn.checkpoint import LoadReport, load_state, read_weights
from reid.nn.hub import timm_name
from reid.nn.processes import gather_rows
from reid.params import nearest


class BagOfTricks(EmbeddingNetwork):
    """Backbone, global average, neck and classifier; the embedding is taken after the neck."""

    idle_parameters = True  # some networks of timm have layers behind their last feature map

    def __init__(self, recipe: BotRecipe, facts: DataFacts) -> None:
        super().__init__()
        backbone: Any = _backbone(recipe.model.backbone)
        if recipe.model.last_stride == 1:
            _keep_resolution(backbone, recipe.model.backbone)
        self.backbone = backbone
        self.feature_size = int(backbone.num_features)
        self.uses_cameras = False
        self.neck = BNNeck(self.feature_size)
        self.classifier = classifier(self.feature_size, facts.num_classes)
        self.loss_recipe = recipe.loss

    def features(self, images: Tensor) -> Tensor:
        """Turn [B, 3, H, W] into the [B, D] averages of the last feature map.

        Raises:
            ParamsError: The backbone is not convolutional.
        """
        maps: Tensor = self.backbone.forward_features(images)
        if maps.ndim != 4 or maps.shape[1] != self.feature_size:
            raise ParamsError(
                f"model.backbone gives features of shape {list(maps.shape)}",
                f"feature maps [B, {self.feature_size}, h, w]",
                "Choose a convolutional network such as resnet18 or resnet50.",
            )
        return maps.mean(dim=(2, 3))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the identity and the triplet loss and their weighted sum."""
        features, labels = gather_rows(self.features(batch.images)), gather_rows(batch.labels)
        score = self.classifier(self.neck(features))
        return identity_triplet_loss(score, features, labels, self.loss_recipe)

    def per_image(self) -> list[nn.Module]:
        """Return the backbone."""
        return [self.backbone]

    def embed(self, batch: Batch) -> Tensor:
        """Return the [B, D] features after the neck."""
        return self.neck(self.features(batch.images))  # type: ignore[no-any-return]


def build(recipe: BotRecipe, facts: DataFacts) -> BagOfTricks:
    """Make the network with fresh weights.

    Raises:
        ParamsError: timm has no such network, or not with the stride asked for.
    """
    return BagOfTricks(recipe, facts)


def load_pretrained(network: EmbeddingNetwork, source: Path | str) -> LoadReport:
    """Load the backbone from ImageNet weights in timm's naming, without their classifier.

    Args:
        source: A file, or `timm:<model name>`, which fetches the weights of that model.

    Raises:
        CheckpointError: The weights are those of another architecture.
    """
    if not isinstance(network, BagOfTricks):
        raise TypeError(f"{type(network).__name__} is no bag-of-tricks network")
    name = timm_name(source)
    state = (
        read_weights(Path(source))
        if name is None
        else _backbone(name, pretrained=True).state_dict()
    )
    return load_state(network.backbone, state, drop=("fc.*", "head.*", "classifier.*"))


def convert_checkpoint(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Refuse: the baseline is our own, nobody published weights in another naming."""
    raise CheckpointError(
        f"a foreign checkpoint of {len(state)} keys for method 'bot'",
        "weights that `reid train` wrote",
        "Train the baseline, or start it from ImageNet weights with `pretrained`.",
    )


def _backbone(name: str, pretrained: bool = False) -> nn.Module:
    import timm  # takes seconds, and the other methods do without

    if not timm.is_model(name):
        raise ParamsError(
            f"timm has no model '{name}'{nearest(name, timm.list_models())}",
            "a convolutional network that `timm.list_models()` names",
            "Correct `model.backbone` or `pretrained` in the recipe.",
        )
    network: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0)
    return network


def _keep_resolution(network: Any, name: str) -> None:
    """Set the stride of the last stage to 1, as no weight depends on it."""
    stage: nn.Module = network.get_submodule(network.feature_info[-1]["module"])
    strided: list[Any] = [m for m in stage.modules() if getattr(m, "stride", 1) in (2, (2, 2))]
    for module in strided:
        module.stride = 1 if isinstance(module.stride, int) else (1, 1)
        if isinstance(module, nn.AvgPool2d):  # it stands for a stride and would blur without it
            module.kernel_size = 1
    if not strided:
        raise ParamsError(
            f"model.last_stride 1 with backbone '{name}', whose last stage has no stride",
            "last_stride 2",
            "Change `model.last_stride` or the backbone.",
        )
