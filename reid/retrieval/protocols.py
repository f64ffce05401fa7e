"""Test protocols: what is a query, what is the gallery, what counts, and how it is counted."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from reid.errors import ParamsError
from reid.params import nearest
from reid.retrieval.features import IntArray
from reid.retrieval.labels import Exclusion
from reid.retrieval.testset import TestSet

Gallery = Literal[
    "all",
    "single_shot_expected",
    "single_shot_drawn",
    "one_image_per_person",
    "shots_per_camera",
]
Modality = Literal["rgb", "ir"]
Counting = Literal["images", "persons"]
MODALITY_NAMES: dict[Modality, str] = {"rgb": "visible", "ir": "infrared"}
OTHER_MODALITY: dict[Modality, Modality] = {"rgb": "ir", "ir": "rgb"}


@dataclass(frozen=True)
class Protocol:
    """How a test set is scored.

    Args:
        name: Stands in the name of every metric.
        exclusion: Gallery images that do not count for a query (see `Labels`).
        gallery: `all` images; one per person drawn after exclusion, as the exact expectation
            (`single_shot_expected`) or in seeded draws (`single_shot_drawn`), which alters the
            matching curve and not the average precision, and which lets images of the role `pool`
            be both query and gallery; `one_image_per_person` drawn from all images of the test
            set, the rest of which are queries; or `shots_per_camera` drawn for each person and
            camera, as the test set's official draws say if it has any, else seeded.
        trials: Number of draws, whose scores are averaged.
        seed: Seed of the draws.
        normalise: Scale features to length 1 before squared Euclidean distances.
        query_modality: Queries are all images of this modality, and gallery images are of the
            other one, whatever their roles; None leaves both to the roles.
        gallery_cameras: Cameras of the gallery; None for all.
        query_cameras: Cameras of the queries of a `query_modality`; None for all.
        shots: Images of `shots_per_camera`.
        places: Pairs of a camera and the camera in whose place it stands; the exclusion rule
            takes both for one.
        counting: Rank of the matching curve: among `images`, or among `persons`, each of whom
            counts once, where the first image of the person stands. Average precision and
            inverse negative penalty are among images always.

    Raises:
        ParamsError: No trial or no shot, or parts that have no meaning together.
    """

    name: str
    exclusion: Exclusion
    gallery: Gallery = "all"
    trials: int = 1
    seed: int = 0
    normalise: bool = True
    query_modality: Modality | None = None
    gallery_cameras: tuple[int, ...] | None = None
    query_cameras: tuple[int, ...] | None = None
    shots: int = 1
    places: tuple[tuple[int, int], ...] = ()
    counting: Counting = "images"

    def __post_init__(self) -> None:
        for name, count in (("trials", self.trials), ("shots", self.shots)):
            if count < 1:
                raise ParamsError(f"protocol {self.name}: {count} {name}", "at least 1", "Set 1.")
        if not self.single_shot:
            return
        for name, value in (("exclusion", self.exclusion), ("counting", self.counting)):
            if value in ("same_camera", "persons"):
                raise ParamsError(
                    f"protocol {self.name}: {name} {value} with gallery {self.gallery}",
                    "one image of every person in the gallery, counted as an image",
                    "Take the gallery all, or another rule.",
                )

    @property
    def single_shot(self) -> bool:
        """Whether one gallery image per person is drawn for each query, after exclusion."""
        return self.gallery in ("single_shot_expected", "single_shot_drawn")

    def places_of(self, camera_ids: IntArray) -> IntArray:
        """Return the cameras as the exclusion rule sees them: [N]."""
        seen = camera_ids.copy()
        for camera, place in self.places:
            seen[camera_ids == camera] = place
        return seen

    def draw(self, test: TestSet) -> str:
        """Name the draw of the gallery: `official`, `seeded`, `expected` (over all) or `none`."""
        if self.gallery == "shots_per_camera" and test.draws.shape[1]:
            return "official"
        return {"all": "none", "single_shot_expected": "expected"}.get(self.gallery, "seeded")

    def card(self, test: TestSet) -> dict[str, Any]:
        """Return everything here that alters a score, by the names of the protocol card."""
        draw = self.draw(test)
        gallery = str(self.gallery)
        if self.gallery == "shots_per_camera":
            gallery = f"{self.shots} per person and camera, {draw}"
        queries, images = self._sides()
        return {
            "protocol": self.name,
            "distance": "squared_euclidean",
            "normalisation": "l2" if self.normalise else "none",
            "query_images": queries,
            "gallery_images": images,
            "exclusion_rule": f"junk; {self.exclusion.replace('_', ' ')}",
            "places": ", ".join(f"camera {one} as {other}" for one, other in self.places) or "none",
            "gallery_draw": gallery,
            "draw": draw,
            "counting": self.counting,
            "trials": self.trials,
            "seed": self.seed,
        }

    def _sides(self) -> tuple[str, str]:
        """Say what queries and gallery are."""
        if self.gallery == "one_image_per_person":
            return "all that are not drawn", "all"
        if self.query_modality is None:
            both = " or pool" if self.single_shot else ""
            return f"role query{both}", f"role gallery{both}"
        other = OTHER_MODALITY[self.query_modality]
        sides = ((self.query_modality, self.query_cameras), (other, self.gallery_cameras))
        query, gallery = (
            MODALITY_NAMES[side]
            + ("" if cameras is None else f", cameras {', '.join(map(str, cameras))}")
            for side, cameras in sides
        )
        return query, gallery


_CUHK03 = Protocol("cuhk03", exclusion="same_person_and_camera", gallery="single_shot_expected")
_SYSU = Protocol(
    "sysu_all_single",
    exclusion="same_camera",
    gallery="shots_per_camera",
    trials=10,
    query_modality="ir",
    gallery_cameras=(0, 1, 3, 4),
    # the third camera hangs in the room of the second
    places=((2, 1),),
    counting="persons",
)
_REGDB = Protocol(
    "regdb_visible_to_thermal", exclusion="none", normalise=False, query_modality="rgb"
)
_LLCM = Protocol(
    "llcm_nir_to_visible",
    exclusion="same_person_and_camera",
    gallery="shots_per_camera",
    trials=10,
    query_modality="ir",
    counting="persons",
)
# as IDKL scores LLCM: not comparable with the rule of those who made the dataset
_LLCM_FULL = replace(
    _REGDB, name="llcm_full_gallery_nir_to_visible", query_modality="ir", counting="persons"
)
_INDOOR = replace(_SYSU, name="sysu_indoor_single", gallery_cameras=(0, 1))
# the other direction, for which there are no official draws: all infrared images
_SYSU_VISIBLE = replace(
    _SYSU,
    name="sysu_all_visible_to_infrared",
    gallery="all",
    trials=1,
    query_modality="rgb",
    query_cameras=(0, 1, 3, 4),
    gallery_cameras=(2, 5),
)
_THERMAL = replace(_REGDB, name="regdb_thermal_to_visible", query_modality="ir")

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("market", exclusion="same_person_and_camera"),
        Protocol("no_camera", exclusion="none"),
        _CUHK03,
        replace(_CUHK03, name="cuhk03_drawn", gallery="single_shot_drawn", trials=10),
        Protocol("vehicleid", exclusion="none", gallery="one_image_per_person", trials=10),
        _SYSU,
        replace(_SYSU, name="sysu_all_multi", shots=10),
        _INDOOR,
        replace(_INDOOR, name="sysu_indoor_multi", shots=10),
        _SYSU_VISIBLE,
        replace(_SYSU_VISIBLE, name="sysu_indoor_visible_to_infrared", query_cameras=(0, 1)),
        _REGDB,
        _THERMAL,
        replace(_REGDB, name="regdb_visible_to_thermal_idkl", counting="persons"),
        replace(_THERMAL, name="regdb_thermal_to_visible_idkl", counting="persons"),
        _LLCM,
        replace(_LLCM, name="llcm_visible_to_nir", query_modality="rgb"),
        _LLCM_FULL,
        replace(_LLCM_FULL, name="llcm_full_gallery_visible_to_nir", query_modality="rgb"),
    )
}


def protocol_named(name: str) -> Protocol:
    """Look up a protocol.

    Raises:
        ParamsError: Unknown name.
    """
    if name not in PROTOCOLS:
        raise ParamsError(
            f"unknown protocol '{name}'{nearest(name, PROTOCOLS)}",
            f"one of {', '.join(PROTOCOLS)}",
            "Correct the name.",
        )
    return PROTOCOLS[name]
