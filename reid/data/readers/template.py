"""From a pattern of file names, such as `{pid}_c{camera}_{frame}.jpg`, to a regular expression."""

import re

from reid.data.readers.reading import IMAGE_SUFFIXES
from reid.errors import ParamsError
from reid.params import nearest

SPLITS = ("train", "val", "query", "gallery", "test")
"""Splits that a name may state; of images to test on, query and gallery are drawn."""

FIELDS = ("pid", "camera", "frame", "session", "view", "split")
ANY = "any"

_PLACE = re.compile(r"\{([^{}]*)\}")
_SUFFIX = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern of the path of an image, which is matched as a whole.

    A template has the fields of `FIELDS` in braces, and `{any}` for what does not matter; no field
    reaches over a slash. A field ends at the first character that follows it in the template, a
    frame is digits, and a field that comes twice has one text. Without a suffix, every image
    suffix fits. A pattern with `(?P<pid>…)` is a regular expression with groups of these names.

    Raises:
        ParamsError: A field is unknown, `pid` is missing, or two fields touch.
    """
    if "(?P<" in pattern:
        return _compile_expression(pattern)
    stem, suffix = _split_suffix(pattern)
    literals, fields = _PLACE.split(stem)[::2], _PLACE.split(stem)[1::2]
    _check_fields(pattern, fields)
    if any(brace in literal for literal in literals for brace in "{}"):
        raise _wrong(pattern, "has a lone brace", "a name in braces for each field")
    if not all(literals[1:-1]):
        raise _wrong(pattern, "has fields that touch", "text between two fields")
    parts = [re.escape(literals[0])]
    for number, (field, literal) in enumerate(zip(fields, literals[1:], strict=True)):
        end = (literal or ".")[0]
        parts += [_group(field, end, field in fields[:number]), re.escape(literal)]
    return re.compile(f"{''.join(parts)}(?i:{suffix})", re.DOTALL)


def _group(field: str, end: str, again: bool) -> str:
    if field == ANY:
        return "[^/]*"
    if again:
        return f"(?P={field})"
    if field == "split":
        return f"(?P<split>(?i:{'|'.join(SPLITS)}))"
    return f"(?P<{field}>[0-9]+)" if field == "frame" else f"(?P<{field}>[^/{re.escape(end)}]+)"


def _split_suffix(pattern: str) -> tuple[str, str]:
    for suffix in IMAGE_SUFFIXES:
        if pattern.lower().endswith(suffix):
            return pattern[: -len(suffix)], re.escape(suffix)
    return pattern, _SUFFIX


def _compile_expression(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise _wrong(pattern, f"is no regular expression ({error})", "a valid one") from None
    _check_fields(pattern, list(expression.groupindex))
    return expression


def _check_fields(pattern: str, fields: list[str]) -> None:
    known = (*FIELDS, ANY)
    for field in fields:
        if field not in known:
            found = f"has an unknown field '{field}'{nearest(field, known)}"
            raise _wrong(pattern, found, f"one of {', '.join(known)}")
    if "pid" not in fields:
        raise _wrong(pattern, "does not say where the person is", "the field pid")


def _wrong(pattern: str, found: str, expected: str) -> ParamsError:
    return ParamsError(f"pattern {pattern!r} {found}", expected, "Correct the pattern.")
