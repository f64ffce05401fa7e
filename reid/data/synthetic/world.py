"""What a world is: its size, its domain, its seed, and the tables behind these words.

A size says how many people, cameras and pixels; a domain says what the cameras and the season are
like. Two worlds with the same seed and domain hold the same people.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from reid.errors import ParamsError

GENERATOR_VERSION = "1.0.0"
"""Raised on any change of picture content, names or times."""

FRAMES_PER_SECOND = 25
SESSION_SECONDS = 900

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Size:
    """Counts and pixels of a world; the width is half the height.

    `paint_height` is the height in pixels at which people are painted before the camera scales them
    down: hard polygon edges become soft ones without a second drawing.
    """

    height: int
    paint_height: int
    train_ids: int
    test_ids: int
    cameras: int
    cameras_per_id: tuple[int, int]
    images_per_track: tuple[int, int]
    distractors: int
    junk: int
    span: float  # seconds in which people set out


@dataclass(frozen=True)
class Domain:
    """Ranges from which the cameras and the clothes of a domain are drawn."""

    gain_sd: float
    gain_common: Bounds
    gamma: Bounds
    saturation: Bounds
    offset: Bounds
    blur: Bounds  # pixels at an image height of 256
    resolution: Bounds
    noise: Bounds
    elevation: Bounds
    side_light: float
    occlusion: Bounds
    wall: Bounds  # grey level
    coat: float
    short_sleeves: float
    shorts: float
    hat: float
    scarf: float
    dark_upper: float


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "smoke": Size(64, 128, 12, 8, 4, (3, 4), (2, 3), 4, 2, 600.0),
        "demo": Size(128, 144, 60, 40, 6, (3, 6), (2, 5), 60, 20, 1800.0),
        "bench": Size(128, 144, 200, 100, 6, (3, 6), (2, 5), 200, 60, 3600.0),
        "bench_hr": Size(256, 256, 200, 100, 6, (3, 6), (2, 5), 200, 60, 3600.0),
    }
)

DEFAULT_SEEDS: Mapping[str, int] = MappingProxyType(
    {"smoke": 1, "demo": 2, "bench": 0, "bench_hr": 0}
)

DOMAINS: Mapping[str, Domain] = MappingProxyType(
    {
        "A": Domain(
            gain_sd=0.045,
            gain_common=(-0.065, 0.065),
            gamma=(0.88, 1.15),
            saturation=(0.75, 1.05),
            offset=(0.0, 12.0),
            blur=(0.0, 0.7),
            resolution=(0.55, 1.0),
            noise=(2.0, 7.0),
            elevation=(0.86, 1.0),
            side_light=0.35,
            occlusion=(0.06, 0.16),
            wall=(140.0, 215.0),
            coat=0.12,
            short_sleeves=0.45,
            shorts=0.22,
            hat=0.08,
            scarf=0.06,
            dark_upper=0.0,
        ),
        "B": Domain(
            gain_sd=0.095,
            gain_common=(-0.16, -0.04),
            gamma=(0.95, 1.45),
            saturation=(0.45, 0.85),
            offset=(0.0, 12.0),
            blur=(0.3, 1.3),
            resolution=(0.3, 0.7),
            noise=(4.0, 10.0),
            elevation=(0.78, 0.90),
            side_light=0.35,
            occlusion=(0.12, 0.30),
            wall=(60.0, 130.0),
            coat=0.40,
            short_sleeves=0.05,
            shorts=0.03,
            hat=0.30,
            scarf=0.30,
            dark_upper=0.45,
        ),
    }
)


@dataclass(frozen=True)
class WorldSpec:
    """The name of a world: equal specifications give equal files.

    `colour_cast` multiplies the spread of the channel gains of the cameras and `background_colour`
    the colourfulness of the backgrounds; both govern the difficulty, and 1 is the domain's own.

    Raises:
        ParamsError: If size or domain is unknown or a number is negative.
    """

    size: str
    domain: str
    seed: int
    colour_cast: float = 1.0
    background_colour: float = 1.0

    def __post_init__(self) -> None:
        for name, value, known in (("size", self.size, SIZES), ("domain", self.domain, DOMAINS)):
            if value not in known:
                raise ParamsError(
                    f"synthetic {name} '{value}'", f"one of {', '.join(known)}", "Correct the name."
                )
        for name in ("seed", "colour_cast", "background_colour"):
            number = getattr(self, name)
            if not number >= 0:
                raise ParamsError(
                    f"synthetic {name} {number}", "a number of at least 0", f"Correct {name}."
                )

    @property
    def counts(self) -> Size:
        """Counts and pixels of this world."""
        return SIZES[self.size]

    @property
    def ranges(self) -> Domain:
        """Ranges of this world's cameras and clothes."""
        return DOMAINS[self.domain]

    def parameters(self) -> dict[str, Any]:
        """Everything that determines the files, ready for JSON."""
        return {
            "generator_version": GENERATOR_VERSION,
            **asdict(self),
            "counts": asdict(self.counts),
            "ranges": asdict(self.ranges),
        }
