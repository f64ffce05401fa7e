"""What a world is: its kind, its size, its domain and its seed.

A size says how many people, cameras and pixels; a domain says what the cameras and the season are
like; a kind says what the pictures are for. Two labelled worlds with the same size, seed and domain
hold the same people, whatever their kind.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from reid.data.synthetic.keys import generator
from reid.data.synthetic.tables import (
    DOMAINS,
    INFRARED_CAMERAS,
    IR_TIES,
    OCCLUSION,
    SIZES,
    UNLABELLED_SIZES,
    Domain,
    Size,
    cross_modal_size,
    infrared_ranges,
)
from reid.errors import ParamsError

GENERATOR_VERSION = "1.1.0"
"""Raised on any change of picture content, names or times."""

FRAMES_PER_SECOND = 25
SESSION_SECONDS = 900

Kind = Literal["colour", "occluded", "cross_modal", "unlabelled"]

MIXED = "AB"
"""Domain of an unlabelled world whose people and videos belong to A and B by turns."""


@dataclass(frozen=True)
class WorldSpec:
    """The name of a world: equal specifications give equal files.

    Kinds: `colour` and `occluded` have the layout of Market-1501, `cross_modal` that of SYSU-MM01
    with infrared cameras, `unlabelled` that of LUPerson.

    `colour_cast` multiplies the spread of the channel gains of the cameras and `background_colour`
    the colourfulness of the backgrounds; both govern the difficulty, and 1 is the domain's own.
    `ir_tie`, for cross-modal worlds alone, says how far the infrared reflectance of a cloth follows
    its visible colour: 0 not at all, 1 altogether. None stands for the default of the size.

    Raises:
        ParamsError: If kind, size or domain is unknown or a number is out of its range.
    """

    size: str
    domain: str
    seed: int
    kind: Kind = "colour"
    colour_cast: float = 1.0
    background_colour: float = 1.0
    ir_tie: float | None = None

    def __post_init__(self) -> None:
        domains = (*DOMAINS, MIXED) if self.kind == "unlabelled" else tuple(DOMAINS)
        self._check_name("kind", get_args(Kind))
        self._check_name("size", tuple(sizes_of(self.kind)))
        self._check_name("domain", domains)
        for name in ("seed", "colour_cast", "background_colour"):
            number = getattr(self, name)
            if not number >= 0:
                raise ParamsError(
                    f"synthetic {name} {number}", "a number of at least 0", f"Correct {name}."
                )
        self._settle_tie()

    def _check_name(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise ParamsError(
                f"synthetic {name} '{value}'", f"one of {', '.join(known)}", "Correct the name."
            )

    def _settle_tie(self) -> None:
        if self.kind != "cross_modal":
            if self.ir_tie is not None:
                raise ParamsError(
                    f"ir_tie {self.ir_tie} in a synthetic world of kind {self.kind}",
                    "ir_tie in cross_modal worlds alone",
                    "Leave ir_tie out.",
                )
            return
        # the default is written down, so that a world has one name
        tie = IR_TIES[self.size] if self.ir_tie is None else self.ir_tie
        if not 0 <= tie <= 1:
            raise ParamsError(f"synthetic ir_tie {tie}", "a number from 0 to 1", "Correct ir_tie.")
        object.__setattr__(self, "ir_tie", tie)

    @property
    def counts(self) -> Size:
        """Counts and pixels of this world."""
        return sizes_of(self.kind)[self.size]

    @property
    def labelled(self) -> bool:
        """Whether the layout tells who is in a picture."""
        return self.kind != "unlabelled"

    @property
    def ranges(self) -> Domain:
        """Ranges of the clothes and the cameras for visible light; not of a mixed world."""
        domain = DOMAINS[self.domain]
        return replace(domain, occlusion=OCCLUSION) if self.kind == "occluded" else domain

    def camera_ranges(self, camera: int) -> Domain:
        """Ranges of the camera with this number, from 1."""
        return infrared_ranges(self.ranges) if self.is_infrared(camera) else self.ranges

    def is_infrared(self, camera: int) -> bool:
        """Whether the camera with this number sees infrared light."""
        return self.kind == "cross_modal" and camera in INFRARED_CAMERAS

    def part(self, number: int) -> "WorldSpec":
        """The world that the person or camera with this number is drawn from.

        It is this one unless domains are mixed.
        """
        letter = self.domain[(number - 1) % len(self.domain)]
        return self if letter == self.domain else replace(self, domain=letter)

    def draw(self, *name: int | str) -> np.random.Generator:
        """The generator of one draw of this world, named by its purpose and numbers.

        Labelled worlds share their draws; those of unlabelled worlds never coincide with them.
        """
        prefix = () if self.labelled else ("pre",)
        return generator(self.seed, self.domain, *prefix, *name)

    def parameters(self) -> dict[str, Any]:
        """Everything that determines the files, ready for JSON."""
        cameras = range(1, self.counts.cameras + 1)
        parts = [self.part(number) for number in range(1, len(self.domain) + 1)]
        return {
            "generator_version": GENERATOR_VERSION,
            **asdict(self),
            "counts": asdict(self.counts),
            "ranges": {part.domain: asdict(part.ranges) for part in parts},
            "infrared_cameras": [number for number in cameras if self.is_infrared(number)],
        }


def sizes_of(kind: str) -> Mapping[str, Size]:
    """The sizes in which a kind of world exists."""
    if kind == "unlabelled":
        return UNLABELLED_SIZES
    if kind == "cross_modal":
        return {name: cross_modal_size(size) for name, size in SIZES.items()}
    return SIZES
