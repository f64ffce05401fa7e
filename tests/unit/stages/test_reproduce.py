import math

from reid.stages.reproduce import metric_differences


def test_one_bit_is_a_difference() -> None:
    value = 0.1
    next_one = math.nextafter(value, 1)
    assert metric_differences({"mAP": value}, {"mAP": value}) == {}
    assert metric_differences({"mAP": value}, {"mAP": next_one}) == {
        "mAP": ("0.1", "0.10000000000000002")
    }


def test_no_number_equals_itself_and_a_missing_metric_is_a_difference() -> None:
    then = {"a": math.nan, "b": 1.0}
    assert metric_differences(then, {"a": math.nan, "c": 1.0}) == {
        "b": ("1.0", "missing"),
        "c": ("missing", "1.0"),
    }
