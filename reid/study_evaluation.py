"""The part of a study that says how test sets are scored."""

from typing import Literal

from pydantic import Field

from reid.params import Params


class RerankEntry(Params):
    """Parameters of k-reciprocal re-ranking."""

    k1: int = Field(20, ge=1)
    k2: int = Field(6, ge=1)
    lambda_: float = Field(0.3, ge=0, le=1, alias="lambda")


class ExpansionEntry(Params):
    """Parameters of a query expansion.

    Attributes:
        count: Neighbours in each mean.
        alpha: Exponent of the similarity; 0 for average query expansion.
        times: Repetitions.
        gallery_too: Replace the features of the gallery too (database augmentation).
    """

    count: int = Field(10, ge=1)
    alpha: float = Field(3.0, ge=0)
    times: int = Field(1, ge=1)
    gallery_too: bool = False


class LiftEntry(Params):
    """Parameters of temporal lifting; the defaults are the published ones.

    Attributes:
        tau: Seconds within which queries of a camera are companions.
        sigma: Seconds over which the weight of a likely match falls off.
        count: Likely matches of a query and its companions in each camera.
        alpha: Weight of an image that passes at no likely match's time.
    """

    tau: float = Field(100.0, gt=0)
    sigma: float = Field(200.0, gt=0)
    count: int = Field(10, ge=1)
    alpha: float = Field(0.2, ge=0)


class PairsEntry(Params):
    """How a method that scores pairs of images is evaluated.

    Attributes:
        precision: Of the similarities inside a score.
        hours: Longest estimated time of scoring one test set; null for no limit.
        rerank: Score all pairs of the test set, which re-ranking needs; else those of queries and
            gallery images alone.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    hours: float | None = Field(1.0, gt=0)
    rerank: bool = True


VariantName = Literal[
    "fourth_power",
    "float16",
    "faiss_jaccard",
    "fastreid_mix",
    "reidmamba_jaccard",
    "openunreid",
    "query_only",
]


class EvaluationEntry(Params):
    """How the test sets are scored.

    Attributes:
        rerank: Parameters of k-reciprocal re-ranking.
        rerank_variants: Known public variants of re-ranking that are scored too, with the same
            parameters and each under its own name; not for methods that score pairs.
        lift: Temporal lifting of the re-ranked distances, under its own name; null for none.
        pairs: For methods that score pairs of images.
        expansions: Query expansions that are scored too, each under its own name; not for methods
            that score pairs.
        max_rank: Length of the matching curve.
        memory_mb: Megabytes to work with; null for no bound. It never changes a result.
        device: Where matrix products run: `cpu` or a device of torch.
        search: How re-ranking finds neighbours; `approximate` is for sets beyond a million images.
        pictures: Queries shown as ranked lists.
    """

    rerank: RerankEntry = RerankEntry.model_validate({})
    rerank_variants: tuple[VariantName, ...] = ()
    lift: LiftEntry | None = None
    pairs: PairsEntry = PairsEntry.model_validate({})
    expansions: tuple[ExpansionEntry, ...] = ()
    max_rank: int = Field(50, ge=1)
    memory_mb: int | None = Field(None, ge=1)
    device: str = "cpu"
    search: Literal["exact", "approximate"] = "exact"
    pictures: int = Field(12, ge=0)
