"""Bytes in, readable lines out."""

from hypothesis import given
from hypothesis import strategies as st

from flows.lines import PROGRESS_SECONDS, LineSplitter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def split(*chunks: bytes) -> list[str]:
    splitter = LineSplitter(Clock())
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return [*lines, *splitter.finish()]


def test_lines_are_passed_when_they_are_complete() -> None:
    splitter = LineSplitter()
    assert list(splitter.feed(b"one\ntw")) == ["one"]
    assert list(splitter.feed(b"o\r\n\nthree")) == ["two"]
    assert list(splitter.finish()) == ["three"]


def test_a_line_end_torn_between_chunks_is_one_line_end() -> None:
    assert split(b"one\r", b"\ntwo\r", b"\n") == ["one", "two"]


def test_a_character_torn_between_chunks_is_whole() -> None:
    assert split(b"caf\xc3", b"\xa9\n", b"\xff\n") == ["café", "�"]


def test_colours_and_cursor_moves_vanish() -> None:
    assert split(b"\x1b[2K\x1b[1;32mgreen\x1b[0m\n\x1b[?25l\n") == ["green"]


def test_a_progress_bar_shows_now_and_then_and_at_its_end() -> None:
    clock = Clock()
    splitter = LineSplitter(clock)
    assert list(splitter.feed(b" 1%\r 2%\r 3%\r")) == [" 1%"]
    clock.now += PROGRESS_SECONDS
    assert list(splitter.feed(b" 50%\r 51%\r")) == [" 3%"]
    assert list(splitter.feed(b"100%\ndone\n")) == ["100%", "done"]


def test_output_that_ends_in_a_progress_bar_keeps_its_last_state() -> None:
    assert split(b"1%\r", b"98%\r99%\r") == ["1%", "99%"]


@given(st.text(alphabet="ab\né", max_size=40), st.integers(1, 7))
def test_the_cut_into_chunks_does_not_matter(text: str, size: int) -> None:
    raw = text.encode()
    chunks = [raw[i : i + size] for i in range(0, len(raw), size)]
    assert split(*chunks) == [line for line in text.split("\n") if line]
