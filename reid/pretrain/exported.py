"""Read back what a pretraining exported: a backbone and the recipe beside it."""

from dataclasses import dataclass
from pathlib import Path

from reid.errors import CheckpointError
from reid.nn.backbone_file import BackboneFacts, read_facts
from reid.nn.checkpoint import load_state, read_weights
from reid.nn.patch import PatchEmbedding
from reid.nn.plain_transformer import PlainTransformer
from reid.pretrain.parent import BACKBONE_FILE
from reid.pretrain.pretrained_directory import RECIPE_FILE
from reid.pretrain.recipe import load_pretrain_recipe


@dataclass(frozen=True)
class ExportedBackbone:
    """A pretrained backbone in evaluation mode, and how the images of its pretraining looked."""

    network: PlainTransformer
    facts: BackboneFacts


def load_exported(path: Path) -> ExportedBackbone:
    """Read a file that `save_backbone` wrote; the recipe of the pretraining lies beside it.

    Raises:
        CheckpointError: There is no such file or no recipe, or the weights do not fit it.
        ParamsError: The recipe is wrong.
    """
    facts, recipe_file = read_facts(path), path.with_name(RECIPE_FILE)
    if facts is None or not recipe_file.is_file():
        fault = "no exported backbone" if facts is None else f"has no {RECIPE_FILE} beside it"
        raise CheckpointError(
            f"{path}: {fault}",
            f"{BACKBONE_FILE} of a pretraining, with its {RECIPE_FILE}",
            "Name the folder or the file that a pretraining wrote.",
        )
    model = load_pretrain_recipe(recipe_file).model
    patches = PatchEmbedding(facts.image_size, model.patch, model.strides, model.shape.width)
    network = PlainTransformer(model.shape, patches)
    load_state(network, read_weights(path))
    return ExportedBackbone(network.eval(), facts)
