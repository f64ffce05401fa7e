"""Turn a published fine-tuned checkpoint into a model directory."""

from dataclasses import replace
from pathlib import Path

from reid.data.manifest import Manifest
from reid.files import whole_folder
from reid.methods.base import DataFacts
from reid.methods.model_directory import save_model
from reid.methods.registry import build_network, get_method, load_recipe
from reid.nn.checkpoint import load_state, read_weights
from reid.stages.cards import IMPORTED, model_card
from reid.stages.paths import manifest_file
from reid.stages.pretrained import Parent


def import_weights(checkpoint: Path, folder: Path, recipe_file: Path, dataset: str) -> None:
    """Load a checkpoint strictly into the network of a recipe, say what became of every key, save.

    Args:
        checkpoint: Published file.
        folder: Model directory to write.
        recipe_file: The recipe that the checkpoint was trained with.
        dataset: Its training data, built by `reid data build`: the classes and cameras must fit.
    """
    recipe = load_recipe(recipe_file)
    manifest = Manifest.load(manifest_file(dataset))
    network = build_network(
        recipe, DataFacts(manifest.num_classes, manifest.num_cameras, manifest.num_views)
    )
    published = read_weights(checkpoint)
    converted = network.fit_checkpoint(get_method(recipe.method).convert_checkpoint(published))
    taken = {id(value) for value in converted.values()}  # renamed, and otherwise as they were
    unused = tuple(key for key, value in published.items() if id(value) not in taken)
    report = replace(load_state(network, converted), dropped=unused)
    card = model_card(
        run=folder.name,
        study=IMPORTED,
        recipe=recipe,
        manifest=manifest,
        network=network,
        dataset=dataset,
        seed=0,
        parent=Parent(checkpoint.name),
    )
    with whole_folder(folder) as part:
        save_model(part, network, recipe, card)
    print(f"{checkpoint}: {report.summary()}")
