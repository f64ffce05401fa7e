from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from reid.report.training_curves import curves_figure, draw_training_curves

LOSSES = ("loss", "identity_shared", "identity_specific", "graph_visible")
SHARED, SPECIFIC = "accuracy_modality_shared", "accuracy_modality_specific"


def rows(epochs: int, *names: str) -> list[dict[str, float]]:
    return [
        {
            "epoch": float(epoch),
            "learning_rate": 1e-3,
            **dict.fromkeys(names, 0.5 + 0.25 / epoch),
        }
        for epoch in range(1, epochs + 1)
    ]


def panels(history: list[dict[str, float]]) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in curves_figure(history, "a run").axes}


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_losses_that_begin_alike_share_a_panel() -> None:
    found = panels(rows(3, "identity_specific", "identity_shared", "graph_visible", "loss"))
    assert list(found) == ["loss", "identity", "graph visible", "learning rate"]
    assert legend(found["identity"]) == ["specific", "shared"]
    assert legend(found["graph visible"]) == []


def test_without_accuracies_there_is_no_panel_of_them() -> None:
    assert "accuracy in training" not in panels(rows(3, *LOSSES))


def test_accuracies_of_two_classes_stand_beside_chance() -> None:
    axes = panels(rows(4, *LOSSES, SHARED, SPECIFIC))["accuracy in training"]
    low, high = axes.get_ylim()
    assert low <= 0 < 1 <= high
    assert legend(axes) == [
        "modality shared: 0.56 at the end",
        "modality specific: 0.56 at the end",
        "chance of two classes: 0.5",
    ]
    shared, _, chance = axes.get_lines()
    assert list(shared.get_ydata()) == pytest.approx([0.75, 0.625, 0.5 + 0.25 / 3, 0.5625])
    assert list(chance.get_ydata()) == [0.5, 0.5]


def test_accuracies_of_many_classes_have_no_chance_line() -> None:
    axes = panels(rows(2, "loss", "accuracy_identity"))["accuracy in training"]
    assert legend(axes) == ["identity: 0.62 at the end"]


@pytest.mark.parametrize(
    ("values", "scale", "title"),
    [
        ([9.0, 0.1], "log", "loss (log scale)"),
        ([9.0, 4.0], "linear", "loss"),
        ([9.0, 0.0], "linear", "loss"),
        ([9.0, -3.0], "linear", "loss"),
        ([float("nan"), float("inf")], "linear", "loss"),
    ],
)
def test_an_axis_is_logarithmic_where_values_differ_much(
    values: list[float], scale: str, title: str
) -> None:
    found = panels([{"epoch": n, "loss": value} for n, value in enumerate(values, start=1)])
    assert list(found) == [title]
    assert found[title].get_yscale() == scale


def test_what_is_not_a_number_or_not_there_is_a_gap() -> None:
    history = rows(4, "loss")
    history[1]["loss"] = float("nan")
    history[3]["late"] = 2.0
    found = panels(history)
    assert np.isnan(found["loss"].get_lines()[0].get_ydata()).tolist() == [0, 1, 0, 0]
    assert np.isnan(found["late"].get_lines()[0].get_ydata()).tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize("epochs", [1, 3, 160])
def test_epochs_are_whole_numbers_and_few_are_dots(epochs: int) -> None:
    axes = panels(rows(epochs, "loss"))["loss"]
    low, high = axes.get_xlim()
    assert low < 1 < high
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
    assert axes.get_lines()[0].get_marker() == ("None" if epochs == 160 else "o")


def test_lines_of_a_panel_are_told_apart() -> None:
    lines = panels(rows(3, *(f"layer_{number}" for number in range(20))))["layer"].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


def test_twenty_losses_make_the_picture_higher_and_not_wider() -> None:
    sizes = []
    for losses in (3, 20):
        names = [chr(ord("a") + number) for number in range(losses)]
        sizes.append(curves_figure(rows(3, *names, SHARED), "a run").get_size_inches())
    assert sizes[0][0] == sizes[1][0] == 14
    assert sizes[1][1] > sizes[0][1]


def test_equal_trainings_are_equal_pictures(tmp_path: Path) -> None:
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        draw_training_curves(rows(3, "loss", SHARED), path, "a run")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1400
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
