from typing import Any

import pytest

from reid.errors import ParamsError
from reid.methods.reidmamba import ReidMambaRecipe
from reid.params import merge, parse_params

PLAIN = {"optimiser": {"learning_rate": 0.008}}


def parsed(changes: dict[str, Any]) -> ReidMambaRecipe:
    return parse_params(merge(PLAIN, changes), ReidMambaRecipe, "r.yaml")


def test_regularisers_follow_the_branches_unless_told() -> None:
    assert parsed({}).loss.rank.weights(3) == (1.0, 1.0)
    one = parsed({"model": {"branches": 1}})
    assert one.loss.rank.weights(one.model.branches) == (0.0, 0.0)
    told = parsed({"loss": {"rank": {"inter_weight": 0.0}}})
    assert told.loss.rank.weights(told.model.branches) == (1.0, 0.0)


def test_few_images_do_where_nothing_is_ranked() -> None:
    few = {"identities": 2, "images": 2}
    rank = {"intra_weight": 0.0, "inter_weight": 0.0}
    assert parsed({"sampler": few, "loss": {"rank": rank}}).sampler.images == 2
    assert parsed({"sampler": few, "model": {"branches": 1}}).sampler.images == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"model": {"branches": 1}, "loss": {"rank": {"intra_weight": 1.0}}},
            "2 model.branches for a positive loss.rank.intra_weight",
        ),
        ({"sampler": {"images": 2}}, "3 sampler.images for loss.rank.intra_weight"),
        ({"sampler": {"identities": 2}}, "3 sampler.identities for loss.rank.inter_weight"),
        ({"model": {"tokens": 6}}, "tokens that 3 branches can halve: a multiple of 4"),
        ({"model": {"reduction": 5}}, "a reduction that divides embed 384"),
        ({"model": {"stride": [16, 0]}}, "a stride of at least 1"),
        ({"model": {"backbone": "mamba_smal"}}, r"one of .*did you mean 'mamba_small'"),
        ({"model": {"backbone": {"embed": 8, "depth": 2}}}, "model.backbone.depth' is 2"),
        ({"model": {"fusion": "avg"}}, "'model.fusion' is 'avg'; expected .*'mean'"),
        ({"model": {"scan": "gpu"}}, "'model.scan' is 'gpu'"),
        ({"loss": {"rank": {"temperature": 0}}}, "'loss.rank.temperature' is 0"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parsed(changes)
