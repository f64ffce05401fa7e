import numpy as np
import pytest

from reid import compiled
from reid.compiled import over_rows


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("rows", [0, 1, 3, 100])
def test_every_row_is_visited_once(
    monkeypatch: pytest.MonkeyPatch, threads: int, rows: int
) -> None:
    monkeypatch.setattr(compiled, "thread_count", lambda: threads)
    visits = np.zeros(rows, np.int64)

    def visit(start: int, stop: int, step: int) -> None:
        visits[start:stop] += step

    over_rows(visit, rows, 2)
    np.testing.assert_array_equal(visits, 2)


def test_an_error_in_a_thread_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "thread_count", lambda: 2)

    def fail(start: int, stop: int) -> None:
        raise ValueError("row")

    with pytest.raises(ValueError, match="row"):
        over_rows(fail, 4)


def test_at_least_one_thread() -> None:
    assert compiled.thread_count() >= 1
