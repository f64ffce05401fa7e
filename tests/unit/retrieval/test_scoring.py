from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval.labels import EXCLUSIONS, Labels
from reid.retrieval.protocols import PROTOCOLS, Protocol
from reid.retrieval.ranking import Block
from reid.retrieval.scoring import Scores, score
from reid.retrieval.splits import splits
from reid.retrieval.testset import Split, TestSet


@dataclass(frozen=True)
class Matrix:
    """All distances between the rows of a test set."""

    distances: np.ndarray

    def blocks(self, query_rows: np.ndarray, gallery_rows: np.ndarray, block_size: int) -> Iterator:
        whole = self.distances[np.ix_(query_rows, gallery_rows)]
        return (whole[row : row + block_size] for row in range(0, len(whole), block_size))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Matrix, TestSet, Protocol]:
    """Any protocol that needs no draw over images, and rows with ties and repeated rows."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows, cameras = draw(st.integers(6, 40)), draw(st.sampled_from([1, 3, 6]))
    levels = draw(st.sampled_from([1, 5, 1000]))
    distances = generator.integers(0, levels, (rows, rows)).astype(np.float32)
    if draw(st.booleans()):
        distances[:, 1::2] = distances[:, : rows - 1 : 2][:, : rows // 2]
    test = TestSet(
        "toy",
        generator.integers(0, 5, rows),
        generator.integers(0, cameras, rows),
        generator.permutation(np.resize(["query", "gallery"], rows)),
        generator.permutation(np.resize(["ir", "rgb"], rows)),
        draws=generator.integers(-1, 3, (rows, draw(st.sampled_from([0, 2])))),
    )
    protocol = Protocol(
        "p",
        draw(st.sampled_from(list(EXCLUSIONS))),
        draw(st.sampled_from(["all", "shots_per_camera", "one_image_per_person"])),
        trials=draw(st.sampled_from([1, 2])),
        query_modality=draw(st.sampled_from([None, "rgb", "ir"])),
        shots=draw(st.sampled_from([1, 2])),
        places=draw(st.sampled_from([(), ((2, 1), (0, 5))])),
        counting=draw(st.sampled_from(["images", "persons"])),
    )
    return Matrix(distances), test, protocol


def naive_query(
    matrix: Matrix, test: TestSet, protocol: Protocol, split: Split, query: int
) -> tuple[float, float, float] | None:
    """Average precision, inverse negative penalty and first rank of one query."""
    places = {camera: dict(protocol.places).get(camera, camera) for camera in range(6)}
    person, place = test.person_ids[query], places[test.camera_ids[query]]
    kept = []
    for item in split.gallery_rows:
        same_person = test.person_ids[item] == person
        same_place = places[test.camera_ids[item]] == place
        if protocol.exclusion == "same_camera" and same_place:
            continue
        if protocol.exclusion == "same_person_and_camera" and same_place and same_person:
            continue
        kept.append(item)
    # equal distances stay in the order of the gallery
    kept = sorted(kept, key=lambda item: matrix.distances[query, item])
    matches = [rank for rank, row in enumerate(kept, 1) if test.person_ids[row] == person]
    if not matches:
        return None
    precision = np.mean([number / rank for number, rank in enumerate(matches, 1)])
    first = float(matches[0])
    if protocol.counting == "persons":
        first = float(len({test.person_ids[row] for row in kept[: matches[0]]}))
    return float(precision), len(matches) / matches[-1], first


def naive_trial(
    matrix: Matrix, test: TestSet, protocol: Protocol, split: Split, max_rank: int
) -> dict[str, float] | None:
    found = [naive_query(matrix, test, protocol, split, query) for query in split.query_rows]
    valid = [one for one in found if one]
    if not valid:
        return None
    figures = {"mAP": np.mean([v[0] for v in valid]), "mINP": np.mean([v[1] for v in valid])}
    for rank in range(1, max_rank + 1):
        figures[f"rank{rank}"] = np.mean([v[2] <= rank for v in valid])
    return figures


@given(cases(), st.integers(1, 20), st.integers(1, 25))
@settings(max_examples=80, deadline=None)
def test_scores_equal_a_double_loop(
    case: tuple[Matrix, TestSet, Protocol], block_size: int, max_rank: int
) -> None:
    matrix, test, protocol = case
    try:
        made = list(splits(protocol, test))
    except EvaluationError:  # an official draw of nothing
        reject()
    trials = [naive_trial(matrix, test, protocol, split, max_rank) for split in made]
    if None in trials:
        with pytest.raises(EvaluationError, match="no query image shares an identity"):
            score(matrix, test, protocol, block_size, max_rank)
        return
    scores, _ = score(matrix, test, protocol, block_size, max_rank)
    reached = [rank for rank in (1, 5, 10, 20) if rank <= max_rank]
    assert list(scores.figures()) == ["mAP", "mINP", *(f"rank{rank}" for rank in reached)]
    for name, value in scores.figures().items():
        values = [trial[name] for trial in trials]
        assert value == pytest.approx(np.mean(values), abs=1e-12)
        if len(values) > 1:
            assert scores.deviations[name] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    curve = [np.mean([trial[f"rank{r}"] for trial in trials]) for r in range(1, max_rank + 1)]
    np.testing.assert_allclose(scores.cmc, curve, atol=1e-12)


def same_bytes(one: Scores, other: Scores) -> None:
    assert one.figures() == other.figures()
    assert one.deviations == other.deviations
    for name in ("cmc", "query_rows", "average_precision", "first_match_rank"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


@pytest.mark.parametrize("name", PROTOCOLS)
def test_block_size_and_threads_change_no_byte(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, test = world()
    expected, lists = score(matrix, test, PROTOCOLS[name], block_size=60)
    for threads, block_size in ((1, 1), (2, 7), (5, 23)):
        monkeypatch.setattr(compiled, "thread_count", lambda count=threads: count)
        made, nearest = score(matrix, test, PROTOCOLS[name], block_size)
        same_bytes(made, expected)
        assert nearest.gallery_rows.tobytes() == lists.gallery_rows.tobytes()


def world(rows: int = 60) -> tuple[Matrix, TestSet]:
    generator = np.random.default_rng(4)
    test = TestSet(
        "toy",
        generator.integers(0, 6, rows),
        generator.integers(0, 6, rows),
        np.resize(["query", "gallery", "gallery"], rows),
        np.resize(["ir", "rgb"], rows),
    )
    return Matrix(generator.integers(0, 9, (rows, rows)).astype(np.float32)), test


def test_images_stand_for_the_first_trial() -> None:
    matrix, test = world()
    protocol = PROTOCOLS["sysu_all_multi"]
    scores, nearest = score(matrix, test, protocol)
    first = next(splits(protocol, test))
    assert (scores.queries, scores.gallery) == (30, len(first.gallery_rows))
    assert set(nearest.gallery_rows[nearest.gallery_rows >= 0]) <= set(first.gallery_rows)
    np.testing.assert_array_equal(nearest.query_rows, first.query_rows)


def test_places_alter_what_counts() -> None:
    matrix, test = world()
    sysu = PROTOCOLS["sysu_all_single"]
    apart = replace(sysu, places=())
    assert score(matrix, test, sysu)[0].mAP != score(matrix, test, apart)[0].mAP


class Recorder:
    """Keeps what it sees."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, np.ndarray]] = []

    def add(self, first_query: int, block: Block) -> None:
        self.seen.append((first_query, block.copy()))


@pytest.mark.parametrize("name", ["market", "sysu_all_single", "cuhk03"])
def test_watchers_see_every_block_of_the_first_trial(name: str) -> None:
    matrix, test = world()
    recorders, asked = [Recorder(), Recorder()], []

    def watch(labels: Labels, split: Split) -> list[Recorder]:
        asked.append((labels, split))
        return recorders

    watched, _ = score(matrix, test, PROTOCOLS[name], block_size=7, watch=watch)
    ((labels, split),) = asked
    first = next(splits(PROTOCOLS[name], test))
    np.testing.assert_array_equal(split.gallery_rows, first.gallery_rows)
    np.testing.assert_array_equal(labels.gallery_person_ids, test.person_ids[first.gallery_rows])
    expected = matrix.distances[np.ix_(first.query_rows, first.gallery_rows)]
    for recorder in recorders:
        rows = [row for row, _ in recorder.seen]
        assert rows == list(range(0, len(expected), 7))
        np.testing.assert_array_equal(np.concatenate([b for _, b in recorder.seen]), expected)
    same_bytes(watched, score(matrix, test, PROTOCOLS[name], block_size=7)[0])


def test_one_query_and_a_gallery_of_one() -> None:
    ids, cameras = np.array([4, 4]), np.array([0, 1])
    test = TestSet("toy", ids, cameras, np.array(["query", "gallery"]))
    scores, nearest = score(Matrix(np.ones((2, 2))), test, PROTOCOLS["market"], max_rank=3)
    assert (scores.mAP, scores.mINP, scores.cmc.tolist()) == (1.0, 1.0, [1.0, 1.0, 1.0])
    assert nearest.gallery_rows[0, :2].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("protocol", "where", "remedy"),
    [
        ("market", " of another camera", "Use the protocol no_camera for single-camera data."),
        ("no_camera", "", "Check the person ids."),
        ("sysu_all_single", " of another camera", "Check the person and camera ids."),
        ("regdb_visible_to_thermal", "", "Check the person ids."),
    ],
)
def test_strangers_only(protocol: str, where: str, remedy: str) -> None:
    matrix, test = world()
    strangers = replace(test, person_ids=np.arange(60))
    with pytest.raises(EvaluationError) as caught:
        score(matrix, strangers, PROTOCOLS[protocol])
    assert f"toy: no query image shares an identity with a gallery image{where} (" in str(
        caught.value
    )
    assert str(caught.value).endswith(f"at least one under the protocol {protocol}. {remedy}")


def test_a_curve_of_nothing() -> None:
    with pytest.raises(EvaluationError, match="curve of 0 ranks; expected at least 1"):
        score(*world(), PROTOCOLS["market"], max_rank=0)
