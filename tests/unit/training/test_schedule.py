import pytest

from reid.errors import ParamsError
from reid.params import parse_params
from reid.recipe import ScheduleRecipe
from reid.training.schedule import AdaptiveStep, IterationCosine, epoch_rate


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


def rates(schedule: ScheduleRecipe, base: float, batches: list[int]) -> list[list[float]]:
    """The rates of every batch of epochs with so many batches."""
    cosine, iteration, found = IterationCosine(schedule, base), 0, []
    for count in batches:
        cosine.start_epoch(iteration)
        found.append([cosine.rate(base, iteration + batch) for batch in range(count)])
        iteration += count
    return found


def test_warm_up_by_batches_then_a_cosine_by_epochs() -> None:
    schedule = ScheduleRecipe(name="iteration_cosine", warmup_iterations=4, cosine_epochs=2)
    first, second, *others = rates(schedule, 1.0, [3, 2, 2, 3, 1])
    assert first == pytest.approx([0.01, 0.2575, 0.505])
    assert second == pytest.approx([0.7525, 1.0])
    # the floor is a thousandth; behind its half period a cosine rises
    assert others == [
        pytest.approx([rate] * n) for rate, n in ((0.5005, 2), (0.001, 3), (0.5005, 1))
    ]


def test_the_cosine_waits_until_more_batches_than_those_of_the_warm_up_have_passed() -> None:
    schedule = ScheduleRecipe(name="iteration_cosine", warmup_iterations=4, cosine_epochs=8)
    assert rates(schedule, 1.0, [4, 1, 1])[1] == [1.0]
    assert rates(schedule, 1.0, [4, 1, 1])[2][0] < 1
    assert rates(schedule, 1.0, [5, 1])[1][0] < 1


def test_warm_up_by_batches_starts_at_the_same_rate_for_every_group() -> None:
    schedule = ScheduleRecipe(name="iteration_cosine", warmup_iterations=2, cosine_epochs=1)
    cosine = IterationCosine(schedule, 1.0)
    assert cosine.rate(1.0, 0) == cosine.rate(2.0, 0) == 0.01
    cosine.steps = 1
    assert cosine.rate(1.0, 9) == cosine.rate(2.0, 9) == 0.001


@pytest.mark.parametrize("given", [{"name": "iteration_cosine"}, {"cosine_epochs": 5}])
def test_the_length_of_the_cosine_belongs_to_one_form(given: dict[str, object]) -> None:
    with pytest.raises(ParamsError, match="cosine_epochs with the name iteration_cosine, and with"):
        parse_params(given, ScheduleRecipe, "recipe.yaml")


def adaptive(losses: list[float], **more: object) -> tuple[list[float], int]:
    """The rates of the epochs with these losses, and the last epoch."""
    schedule = ScheduleRecipe.model_validate({"name": "adaptive", "warmup_epochs": 0} | more)
    step, found = AdaptiveStep(schedule, 1.0), []
    for epoch, loss in enumerate(losses, 1):
        found.append(step.rate(2.0, epoch))
        step.end_epoch(epoch, loss)
    return found, step.last_epoch


def test_the_adaptive_rate_falls_once_behind_the_loss() -> None:
    # the loss of the first epoch counts nothing; 0.7 is not below 0.7
    losses = [0.1, 1.0, 0.9, 0.7, 0.69, 0.1, 0.01]
    found, last = adaptive(losses, epochs=60)
    assert found == pytest.approx([2.0] * 5 + [0.2] * 2)
    assert last == 7
    assert adaptive(losses, epochs=6)[1] == 6
    assert adaptive(losses[:4], epochs=60)[1] == 60
    assert adaptive([1.0, 1.0, 0.5], epochs=60, drop=0.4)[1] == 60
    assert adaptive([1.0, 1.0, 0.5], epochs=60, drop=0.6)[1] == 4


def test_the_adaptive_rate_warms_up() -> None:
    found, _ = adaptive([1.0] * 3, epochs=60, warmup_epochs=2)
    assert found == pytest.approx([1.005, 2.0, 2.0])
