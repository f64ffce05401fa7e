"""Which runs of a table differ, when each is compared with each: letters, as in field trials."""

from string import ascii_lowercase

import networkx as nx
import numpy as np
import numpy.typing as npt

from reid.retrieval.features import DoubleArray

LEVEL = 0.05
NOTE = (
    "Runs that share a letter do not differ significantly in plain mAP. Each pair of runs is "
    "compared by a paired bootstrap over queries, all on the same draws, with at least 2000 of "
    "them and 100 for each pair; Holm's correction over all pairs of a table keeps the chance of "
    "any false difference in it at 5 %. Draws of training seeds are not in it: another training "
    "of the same method may differ by more."
)


def differing(chances: DoubleArray, level: float = LEVEL) -> npt.NDArray[np.bool_]:
    """Say which pairs differ, by the step-down correction of Holm over all of them.

    Args:
        chances: p-value of each pair, symmetric [R, R].
        level: Chance of at least one false difference where there is none.

    Returns:
        Symmetric, False on the diagonal [R, R].
    """
    rows, columns = np.triu_indices(len(chances), k=1)
    pairs = chances[rows, columns]
    order = np.argsort(pairs, kind="stable")
    held = pairs[order] <= level / np.arange(len(pairs), 0, -1)
    found = order[: len(held) if held.all() else int(held.argmin())]
    differ = np.zeros(chances.shape, np.bool_)
    differ[rows[found], columns[found]] = differ[columns[found], rows[found]] = True
    return differ


def group_letters(differ: npt.NDArray[np.bool_]) -> tuple[tuple[str, ...], ...]:
    """Give runs letters such that two share one if and only if they do not differ.

    Args:
        differ: Symmetric, of runs from the best to the worst [R, R].

    Returns:
        The letters of each run, in alphabetical order; `a` is a group of the best run.
    """
    alike = nx.from_numpy_array(~differ & ~np.eye(len(differ), dtype=np.bool_))
    groups = sorted(sorted(group) for group in nx.find_cliques(alike))
    return tuple(
        tuple(_letter(number) for number, group in enumerate(groups) if run in group)
        for run in range(len(differ))
    )


def _letter(number: int) -> str:
    """Return a, b, ... z, then a1, b1, ..."""
    turn, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(turn) if turn else "")
