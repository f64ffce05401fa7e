import pytest

from reid.recipe import ScheduleRecipe
from reid.training.schedule import epoch_rate


def test_warm_up_starts_at_the_same_rate_for_every_group() -> None:
    cosine = ScheduleRecipe(epochs=120, warmup_epochs=5)
    assert epoch_rate(cosine, 0.008, 0.008, 0) == epoch_rate(cosine, 0.008, 0.016, 0) == 8e-5
    assert epoch_rate(cosine, 0.008, 0.016, 1) == pytest.approx(8e-5 + (0.016 - 8e-5) / 5)


def test_the_cosine_starts_below_the_base_and_ends_at_the_floor() -> None:
    cosine = ScheduleRecipe(epochs=120, warmup_epochs=5)
    assert epoch_rate(cosine, 1.0, 1.0, 5) == pytest.approx(0.99573, abs=1e-5)
    assert epoch_rate(cosine, 1.0, 2.0, 120) == 0.002
    assert epoch_rate(cosine, 1.0, 1.0, 500) == 0.002


def test_steps_fall_after_their_milestones() -> None:
    steps = ScheduleRecipe(name="step", epochs=120, warmup_epochs=10, milestones=(40, 70))
    rates = [epoch_rate(steps, 1.0, 1.0, epoch) for epoch in (10, 40, 41, 70, 71)]
    assert rates == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01])


def test_a_schedule_may_be_epochs_behind() -> None:
    late = ScheduleRecipe(epochs=120, warmup_epochs=20, lag=1)
    punctual = ScheduleRecipe(epochs=120, warmup_epochs=20)
    assert epoch_rate(late, 1.0, 2.0, 1) == 0.01
    assert epoch_rate(late, 1.0, 2.0, 120) == epoch_rate(punctual, 1.0, 2.0, 119) > 0.002
