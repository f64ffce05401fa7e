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
