import math

import pytest
import torch

from reid.errors import TrainingError
from reid.pretrain.collapse import CollapseMonitor, Health, measure, require_finite
from reid.pretrain.recipe import CollapseRecipe

RECIPE = CollapseRecipe(patience=2, first_epoch=1)
HEALTHY = Health(entropy=0.5, deviation=0.8)


def test_entropy_is_a_share_of_its_maximum() -> None:
    features = torch.eye(4)
    assert measure(torch.full((4, 8), 1 / 8), features).entropy == pytest.approx(1)
    assert measure(torch.eye(4, 8), features).entropy == 0
    two = torch.zeros(4, 8)
    two[:, :2] = 0.5
    assert measure(two, features).entropy == pytest.approx(math.log(2) / math.log(8))


def test_deviation_is_that_of_directions() -> None:
    torch.manual_seed(0)
    probabilities = torch.full((512, 2), 0.5)
    spread = torch.randn(512, 64)
    assert measure(probabilities, spread).deviation == pytest.approx(1, abs=0.02)
    assert measure(probabilities, 9 * spread).deviation == pytest.approx(1, abs=0.02)
    same = torch.randn(64).expand(512, 64)
    assert measure(probabilities, same).deviation == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    "sick",
    [
        HEALTHY._replace(entropy=0.9999),
        HEALTHY._replace(entropy=0.001),
        HEALTHY._replace(deviation=0.001),
        HEALTHY._replace(deviation=math.nan),
    ],
)
def test_a_collapse_stops_the_run(sick: Health) -> None:
    monitor = CollapseMonitor(RECIPE)
    monitor.check(sick, 0)  # too early to say
    monitor.check(sick, 1)
    monitor.check(HEALTHY, 1)
    monitor.check(sick, 2)
    with pytest.raises(TrainingError, match=r"collapsed in epoch 2: entropy .* 2 checks in a row"):
        monitor.check(sick, 2)


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    require_finite(torch.tensor(3.0), 1)
    with pytest.raises(TrainingError, match=r"the loss of step 7 is nan; expected a finite number"):
        require_finite(torch.tensor(math.nan), 7)
