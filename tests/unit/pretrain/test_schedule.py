import numpy as np
import pytest

from reid.pretrain.recipe import DistillationRecipe, PretrainOptimiserRecipe, TemperatureRecipe
from reid.pretrain.schedule import cosine, epoch_tables, step_tables


def test_half_a_cosine() -> None:
    assert cosine(1.0, 0.0, 4) == pytest.approx([1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    assert len(cosine(1.0, 0.0, 0)) == 0


def test_the_rate_grows_with_the_batch_and_rises_from_nothing() -> None:
    recipe = PretrainOptimiserRecipe(warmup_epochs=2)
    tables = step_tables(recipe, epochs=6, steps_per_epoch=5, batch=512)
    rate = tables.learning_rate
    assert rate[0] == 0
    assert rate[9] == rate[10] == rate.max() == 2 * 5e-4  # the peak ends one and starts the other
    assert np.all(np.diff(rate[10:]) < 0)
    assert len(rate) == len(tables.weight_decay) == len(tables.momentum) == 30


def test_decay_and_momentum_rise() -> None:
    tables = step_tables(PretrainOptimiserRecipe(), 3, 10, 256)
    assert (tables.weight_decay[0], tables.momentum[0]) == pytest.approx((0.04, 0.996))
    assert np.all(np.diff(tables.weight_decay) > 0)
    assert 0.9999 < tables.momentum[-1] < 1


def test_a_warm_up_longer_than_the_run_is_cut() -> None:
    rate = step_tables(PretrainOptimiserRecipe(warmup_epochs=9), 2, 5, 256).learning_rate
    assert len(rate) == 10
    assert np.all(np.diff(rate) > 0)


def test_temperatures_rise_and_patches_wait_for_their_masks() -> None:
    recipe = DistillationRecipe(
        temperature_epochs=3, patch_temperature=TemperatureRecipe(start=0.02, end=0.06)
    )
    tables = epoch_tables(recipe, first_masked=2, epochs=6)
    assert tables.class_temperature == pytest.approx([0.04, 0.055, 0.07, 0.07, 0.07, 0.07])
    assert tables.patch_temperature == pytest.approx([0.02, 0.02, 0.02, 0.04, 0.06, 0.06])
    short = epoch_tables(DistillationRecipe(temperature_epochs=30), 0, epochs=2)
    assert short.class_temperature == pytest.approx([0.04, 0.04 + 0.03 / 29])
