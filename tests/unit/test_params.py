from pathlib import Path
from typing import Self

import pytest
from pydantic import model_validator

from reid.errors import ParamsError
from reid.params import Params, merge, parse_params, read_yaml


class Inner(Params):
    rate: float = 0.1
    decay: float = 0.0

    @model_validator(mode="after")
    def _rate_above_decay(self) -> Self:
        if self.decay > self.rate:
            raise ValueError("a rate of at least the decay")
        return self


class Outer(Params):
    name: str
    inner: Inner = Inner()

    @model_validator(mode="after")
    def _named_otherwise(self) -> Self:
        if self.name == "both":
            raise ValueError("another name")
        return self


def test_reads_nested_values() -> None:
    parsed = parse_params({"name": "x", "inner": {"rate": 2}}, Outer, "f.yaml")
    assert parsed == Outer(name="x", inner=Inner(rate=2.0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"name": "x", "inner": {"rat": 1}},
            r"f.yaml: unknown key 'inner.rat' \(did you mean 'rate'\?\); expected one of decay",
        ),
        ({"name": "x", "iner": {}}, r"unknown key 'iner' \(did you mean 'inner'\?\)"),
        ({}, r"f.yaml: key 'name' is missing"),
        (
            {"name": "x", "inner": {"rate": "fast"}},
            r"'inner.rate' is 'fast'; expected input should be a valid number",
        ),
        (
            {"name": "x", "inner": {"decay": 2}},
            r"f.yaml: values of 'inner' that do not go together; expected a rate of at least the",
        ),
        ({"name": "both"}, r"f.yaml: values that do not go together; expected another name\."),
    ],
)
def test_errors_name_the_key_and_the_nearest_one(data: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        parse_params(data, Outer, "f.yaml")
    assert "\n" not in str(caught.value)


def test_merge_goes_into_mappings_and_keeps_its_inputs() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(base, {"a": {"b": 9}, "d": None}) == {"a": {"b": 9, "c": 2}, "d": None}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("a: [1", "not valid YAML"),
        ("- 1", "holds list; expected a mapping"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ParamsError, match=message) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)
