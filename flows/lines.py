"""Readable lines out of the raw output of a program, progress bars included."""

import codecs
import re
import time
from collections.abc import Callable, Iterator

# a bar redraws itself many times a second; a log wants to see it now and then
PROGRESS_SECONDS = 10.0

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_ENDS = re.compile(r"(\r\n|\n|\r(?!$))")


class LineSplitter:
    """Turns chunks of bytes into lines without terminal escapes and blank lines.

    Text that ends with a bare carriage return is a redrawn progress bar: of these one passes every
    `PROGRESS_SECONDS`, and the last one if the output ends with it.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._redrawn = ""
        self._last_progress = -PROGRESS_SECONDS

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield the lines that are complete with `chunk`."""
        # a carriage return at the very end stays in the rest: a line feed may follow
        *parts, self._rest = _ENDS.split(self._rest + self._decoder.decode(chunk))
        for text, end in zip(parts[::2], parts[1::2], strict=True):
            yield from self._redraw(text) if end == "\r" else self._line(text)

    def finish(self) -> Iterator[str]:
        """Yield what is left at the end of the output."""
        rest = self._rest + self._decoder.decode(b"", final=True)
        yield from self._line(rest if _clean(rest) else self._redrawn)

    def _line(self, text: str) -> Iterator[str]:
        self._redrawn = ""
        if line := _clean(text):
            yield line

    def _redraw(self, text: str) -> Iterator[str]:
        self._redrawn = text
        if self._clock() - self._last_progress >= PROGRESS_SECONDS:
            self._last_progress = self._clock()
            yield from self._line(text)


def _clean(text: str) -> str:
    return _ESCAPES.sub("", text).strip("\r").rstrip()
