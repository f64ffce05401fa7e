"""Approximate nearest neighbours, for sets in which all pairs are too many to measure.

A search in all lists costs N^2 products, which at a million images is hours. Here images are sorted
into about 4 sqrt(N) lists by k-means, and only the lists nearest to an image are looked through: an
inverted file (Jegou et al., Product quantization for nearest neighbor search, TPAMI 2011, section
IV), with whole vectors in the lists. It misses some neighbours, so re-ranked distances are others
than those of the exact search, and nothing takes this search unless it is asked for.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from reid.compiled import compiled, over_tasks
from reid.progress import Advance, silent
from reid.retrieval.distance import distance_blocks
from reid.retrieval.features import FeatureRows, FloatArray, IntArray
from reid.retrieval.neighbours import SPARE, Neighbours, refined
from reid.retrieval.pair_distances import IndexArray

# lists that are looked through for each image: more of them find more neighbours in more time
PROBES = 64
# images for each list from which its centre is learnt
_LEARNT_FROM = 40
# images to which the largest distance of an image is measured
_SAMPLE = 4096
# images whose lists are looked through at once, and that are added at once; fixed, so that no
# number depends on the number of threads
_ROWS = 1024


def approximate_neighbours(
    features: FeatureRows,
    count: int,
    seed: int = 0,
    advance: Advance = silent,
    probes: int = PROBES,
) -> Neighbours:
    """Find most of the `count` nearest rows of each row.

    What one image finds counts for the other too, which costs nothing and halves what is missed.
    Near ties are decided in double precision, and an image is at distance 0 from itself, as in the
    exact search. More lists are looked through for images whose lists hold too few others.

    The largest distance of an image is estimated: it is the largest to any of 4,096 images (of all,
    if there are no more), drawn once with the seed and the same for every image, and to any of its
    neighbours. So it is never too large.

    The result depends on the seed and neither on threads nor on whether features are held.

    Args:
        features: N rows, used as given. The lists hold a copy of them as float32.
        count: Length of the lists of neighbours; at most N are returned.
        seed: Of the images from which the lists are learnt, and of those to which largest distances
            are measured.
        advance: Called with the images done, and all.
        probes: Lists that are looked through for each image.
    """
    total = len(features)
    longest = min(count + SPARE, total)
    generator = np.random.default_rng(seed)
    index = _filled_index(features, generator, seed)
    indices = np.full((total, longest), -1, np.int32)
    distances = np.full((total, longest), np.inf, np.float32)
    unfinished = np.arange(total)
    while len(unfinished):
        _search(index, features, unfinished, probes, (indices, distances), advance)
        unfinished = unfinished[indices[unfinished, -1] < 0]
        # with all lists every image is found
        probes *= 2
    _put_itself(indices, distances)
    _tell_others(indices.copy(), distances.copy(), indices, distances)
    largest = np.maximum(_largest_distances(features, generator), distances[:, -1])
    return refined(features, indices, distances, largest, count)


def _filled_index(features: FeatureRows, generator: np.random.Generator, seed: int) -> Any:
    """Return the lists, learnt from some of the images, with all of them in it."""
    # half a second, and a GPU is taken hold of where there is one
    import faiss

    total = len(features)
    lists = max(1, min(round(4 * np.sqrt(total)), total // _LEARNT_FROM))
    learnt_from = _drawn(features, lists * _LEARNT_FROM, generator)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(features.width), features.width, lists)
    index.cp.seed = seed % 2**31
    # sums in one thread are always in the same order
    with threadpool_limits(1):
        index.train(learnt_from.take(slice(0, len(learnt_from))))
        for start in range(0, total, _ROWS):
            index.add(features.take(slice(start, start + _ROWS)))
    return index


def _drawn(features: FeatureRows, count: int, generator: np.random.Generator) -> FeatureRows:
    """Return `count` of the rows, or all if they are no more."""
    if count >= len(features):
        return features
    return features.subset(np.sort(generator.choice(len(features), count, replace=False)))


def _search(
    index: Any,
    features: FeatureRows,
    rows: IntArray,
    probes: int,
    found: tuple[IndexArray, FloatArray],
    advance: Advance,
) -> None:
    """Look through `probes` lists for each of some rows; fill their rows of what was found."""
    import faiss

    indices, distances = found
    how: Any = faiss.SearchParametersIVF()
    how.nprobe = min(probes, index.nlist)
    tasks = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    done: list[int] = []

    def work(shares: Iterator[IntArray]) -> None:
        # the limit holds for the thread in which it is set
        faiss.omp_set_num_threads(1)
        for share in shares:
            images = features.subset(share).take(slice(0, len(share)))
            near, places = index.search(images, indices.shape[1], params=how)
            indices[share], distances[share] = places, near
            done.append(len(share))
            advance(sum(done), len(rows))

    with threadpool_limits(1):
        over_tasks(work, tasks)


def _put_itself(indices: IndexArray, distances: FloatArray) -> None:
    """Put each image at distance 0 from itself, in the place of the farthest if need be."""
    own = indices == np.arange(len(indices))[:, None]
    own[~own.any(axis=1), -1] = True
    rows, places = np.nonzero(own)
    indices[rows, places] = rows
    distances[rows, places] = 0.0
    order = np.argsort(distances, axis=1, kind="stable")
    indices[:] = np.take_along_axis(indices, order, axis=1)
    distances[:] = np.take_along_axis(distances, order, axis=1)


@compiled
def _tell_others(
    found: IndexArray, gaps: FloatArray, indices: IndexArray, distances: FloatArray
) -> None:
    """Let each image enter the lists of those that it found.

    Args:
        found: What each image found [N, k].
        gaps: How far it is [N, k].
        indices: The lists, nearest first [N, k].
        distances: Their distances [N, k].
    """
    for image in range(len(found)):
        for place in range(found.shape[1]):
            other = found[image, place]
            _insert(indices[other], distances[other], image, gaps[image, place])


@compiled
def _insert(images: IndexArray, distances: FloatArray, image: int, distance: float) -> None:
    """Put an image into one list if it is nearer than the last and not there yet."""
    place = len(images) - 1
    if distance >= distances[place] or np.any(images == image):
        return
    while place > 0 and distances[place - 1] > distance:
        images[place], distances[place] = images[place - 1], distances[place - 1]
        place -= 1
    images[place], distances[place] = image, distance


def _largest_distances(features: FeatureRows, generator: np.random.Generator) -> FloatArray:
    """Return the largest distance of each image to those of a sample [N]."""
    sample = _drawn(features, _SAMPLE, generator)
    blocks = distance_blocks(features, sample, block_size=_ROWS)
    return np.concatenate([block.max(axis=1) for block in blocks])
