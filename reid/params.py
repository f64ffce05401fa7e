"""Parameters: YAML in, frozen and validated objects out.

Every knob of the project lives in a YAML file below `params/`, which DVC and the program read
alike. A schema is a subclass of `Params`. An unknown key is an error that names the nearest valid
one; a wrong value is an error that names the file and the key.
"""

import difflib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from reid.errors import ParamsError

P = typing.TypeVar("P", bound="Params")


class Params(BaseModel):
    """Base of every schema: immutable, and closed against unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ParamsError: The file is missing, is not YAML, or holds something else than a mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(
            f"{path}: no such file", "a YAML file", "Check the path in the study or the command."
        ) from None
    except yaml.YAMLError as error:
        line = " ".join(str(error).split())
        raise ParamsError(f"{path}: not valid YAML ({line})", "YAML", "Mend the file.") from None
    if not isinstance(data, dict):
        raise ParamsError(
            f"{path}: holds {type(data).__name__}", "a mapping of keys to values", "Mend the file."
        )
    return data


def parse_params(data: Mapping[str, Any], schema: type[P], source: str) -> P:
    """Check `data` against `schema`.

    Args:
        source: Where the data came from, for the error message.

    Raises:
        ParamsError: On the first unknown key, missing key or wrong value.
    """
    try:
        return schema.model_validate(dict(data))
    except ValidationError as error:
        raise _explain(error, schema, source) from None


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `overrides` laid over it, mapping by mapping; neither is changed."""
    merged = dict(base)
    for key, value in overrides.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def nearest(word: str, words: typing.Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest of `words`, or an empty string."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _explain(error: ValidationError, schema: type[Params], source: str) -> ParamsError:
    first = error.errors(include_url=False)[0]
    place = tuple(part for part in first["loc"] if isinstance(part, str))
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        valid = sorted(set(_sibling_keys(schema, place)))
        hint = nearest(place[-1], valid)
        return ParamsError(
            f"{source}: unknown key '{key}'{hint}",
            f"one of {', '.join(valid)}",
            "Correct or remove the key.",
        )
    if first["type"] == "missing":
        return ParamsError(f"{source}: key '{key}' is missing", "a value", "Add the key.")
    expected = first["msg"].removeprefix("Value error, ")
    if isinstance(first["input"], Mapping):  # nobody reads a whole section in one line
        whole = f" of '{key}'" if key else ""
        found = f"{source}: values{whole} that do not go together"
    else:
        found = f"{source}: '{key}' is {first['input']!r}"
    return ParamsError(found, expected[0].lower() + expected[1:], "Correct the value.")


def _sibling_keys(schema: type[Params], place: tuple[str, ...]) -> Iterator[str]:
    """Yield the valid keys of the mapping in which the last part of `place` was found."""
    schemas = [schema]
    for part in place[:-1]:
        below = [s for s in schemas if part in s.model_fields]
        if below:  # otherwise the part is a key of a free mapping or the tag of a union
            schemas = [s for b in below for s in _schemas_in(b.model_fields[part].annotation)]
    for found in schemas:
        yield from found.model_fields


def _schemas_in(annotation: Any) -> Iterator[type[Params]]:
    if isinstance(annotation, type) and issubclass(annotation, Params):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _schemas_in(inner)
