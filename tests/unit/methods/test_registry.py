import subprocess
import sys
from pathlib import Path

import pytest

from reid.errors import ParamsError
from reid.methods.bot import BotRecipe
from reid.methods.registry import METHODS, get_method, load_recipe
from reid.methods.transreid import TransReidRecipe

TRANSREID = """
method: transreid
optimiser: {learning_rate: 0.008}
model:
  side_information: {camera: true, weight: 2.5}
  jigsaw: {shift: 8}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(TRANSREID)
    return path


def test_every_name_is_that_of_a_package() -> None:
    assert [get_method(name).name for name in METHODS] == list(METHODS)


def test_finding_a_method_loads_no_other() -> None:
    """Timm takes seconds, and neither it nor what brings it is needed to use residual networks."""
    code = (
        "import sys; from reid.methods.registry import get_method; get_method('idkl');"
        "print({'timm', 'torchvision', 'reid.methods.bot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_method_chooses_the_schema(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    assert isinstance(recipe, TransReidRecipe)
    assert recipe.model.jigsaw is not None
    assert recipe.model.jigsaw.shift == 8
    overrides = {"method": "bot", "model": None, "loss": {"margin": 0.5}}
    with pytest.raises(ParamsError, match="'model' is None"):
        load_recipe(recipe_file, overrides)


def test_overrides_reach_single_keys(recipe_file: Path) -> None:
    recipe = load_recipe(
        recipe_file, {"model": {"jigsaw": None, "side_information": {"camera": False}}}
    )
    assert isinstance(recipe, TransReidRecipe)
    assert recipe.model.jigsaw is None
    assert recipe.model.side_information.camera is False
    assert recipe.model.side_information.weight == 2.5


def test_other_methods_have_other_recipes(tmp_path: Path) -> None:
    path = tmp_path / "bot.yaml"
    path.write_text("method: bot\noptimiser: {learning_rate: 0.1}\nmodel: {last_stride: 2}\n")
    recipe = load_recipe(path)
    assert isinstance(recipe, BotRecipe)
    assert recipe.model.last_stride == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"method": "transried"},
            r"method is 'transried' \(did you mean 'transreid'\?\); expected",
        ),
        ({"method": None}, "method is None; expected one of bot, transreid, personvit, reidmamba"),
        ({"model": {"jigsaw": {"shifts": 5}}}, r"unknown key 'model.jigsaw.shifts' .*'shift'"),
        (
            {"model": {"stride": 0}},
            "values of 'model' that do not go together; expected a stride of at least 1",
        ),
        (
            {"model": {"backbone": {"embed": 10, "depth": 2, "heads": 4}}},
            "a number of heads that divides embed 10",
        ),
        ({"model": {"backbone": "vit_bsae"}}, "one of vit_base, .*did you mean 'vit_base'"),
        (
            {"model": {"backbone": {"embed": 8, "depth": 2, "heads": 4, "qk_scales": 1}}},
            r"unknown key 'model\.backbone\.qk_scales' .*'qk_scale'",
        ),
        ({"loss": {"label_smoothing": 1.0}}, "'loss.label_smoothing' is 1.0"),
    ],
)
def test_mistakes_are_named(recipe_file: Path, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_recipe(recipe_file, overrides)
