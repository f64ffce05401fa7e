from typing import Any

import pytest

from reid.report.cost import COSTS, Cost, cost_cell, prefixed

STATED: dict[str, Any] = {
    "parameters": 1_234_567,
    "flops_per_image": 2.11e9,
    "flops_without": ["scan"],
    "images_per_second": 99.96,
    "feature_bytes": 512,
    "training_seconds": 601.0,
    "seconds_per_query": 0.00025,
}


def test_every_amount_is_written_in_its_unit() -> None:
    cost = Cost.of({"cost": STATED})
    assert {name: cost_cell(cost, name) for name in COSTS} == {
        "parameters": "1.23 M",
        "flops_per_image": "2.11 G, scan not counted",
        "images_per_second": "100",
        "feature_bytes": "512 B",
        "seconds_per_query": "250 µs",
        "training_seconds": "10.0 min",
    }
    assert cost.whole("flops_per_image") is None
    assert Cost.of({"cost": STATED | {"flops_without": []}}).whole("flops_per_image") == 2.11e9


def test_an_old_card_knows_the_speed_alone() -> None:
    cost = Cost.of({"images_per_second": 12.5})
    cells = {name: cost_cell(cost, name) for name in COSTS}
    assert cells.pop("images_per_second") == "12.5"
    assert set(cells.values()) == {""}
    assert cost_cell(Cost.of({}), "images_per_second") == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999.4, "999"),
        (999.9, "1 k"),
        (1500, "1.5 k"),
        (3e13, "30 T"),
        (2e-9, "0 µ"),
        (0.05, "50 m"),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert prefixed(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(119.0, "119 s"), (120.0, "2.0 min"), (7199.0, "120.0 min"), (9e4, "25.0 h")],
)
def test_long_times_are_minutes_and_hours(seconds: float, text: str) -> None:
    cost = Cost.of({"cost": {"training_seconds": seconds}})
    assert cost_cell(cost, "training_seconds") == text
