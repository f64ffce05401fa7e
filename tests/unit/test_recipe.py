import pytest

from reid.errors import ParamsError
from reid.params import parse_params
from reid.recipe import SamplerRecipe


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_classes": 20}, "max_classes with the name graph, and with no other"),
        ({"name": "graph", "max_classes": 15}, "at least the identities of a batch"),
    ],
)
def test_a_cap_of_classes_belongs_to_the_graph_sampler(
    given: dict[str, object], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        parse_params(given, SamplerRecipe, "recipe.yaml")
    assert SamplerRecipe(name="graph", max_classes=16).max_classes == 16


def test_the_cross_modal_sampler_halves_the_images() -> None:
    given = {"name": "cross_modal", "images": 5}
    with pytest.raises(ParamsError, match="an even number of images") as raised:
        parse_params(given, SamplerRecipe, "recipe.yaml")
    assert "\n" not in str(raised.value)
    assert SamplerRecipe(name="cross_modal", images=6).images == 6
    assert SamplerRecipe(images=5).images == 5
