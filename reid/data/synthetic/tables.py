"""The tables behind the words of a world: sizes, domains, and what sets each kind apart."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

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

UNLABELLED_SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "smoke": Size(64, 128, 24, 0, 4, (1, 2), (2, 5), 0, 0, 600.0),
        "demo": Size(128, 144, 600, 0, 16, (1, 2), (2, 5), 0, 0, 1800.0),
        "pretrain": Size(128, 144, 2000, 0, 16, (1, 2), (2, 5), 0, 0, 3600.0),
    }
)
"""Sizes of unlabelled worlds; their cameras are videos and their people have no split."""

DEFAULT_SEEDS: Mapping[str, int] = MappingProxyType(
    {"smoke": 1, "demo": 2, "bench": 0, "bench_hr": 0, "pretrain": 3}
)

IR_TIES: Mapping[str, float] = MappingProxyType(
    {"smoke": 0.6, "demo": 0.6, "bench": 0.5, "bench_hr": 0.5}
)
"""How far the infrared reflectance follows the visible colour unless a world says otherwise."""

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
            gain_sd=0.055,
            gain_common=(-0.14, -0.02),
            gamma=(0.95, 1.30),
            saturation=(0.60, 0.90),
            offset=(0.0, 12.0),
            blur=(0.3, 1.3),
            resolution=(0.3, 0.7),
            noise=(4.0, 10.0),
            elevation=(0.78, 0.90),
            side_light=0.35,
            occlusion=(0.12, 0.30),
            wall=(80.0, 150.0),
            coat=0.40,
            short_sleeves=0.05,
            shorts=0.03,
            hat=0.30,
            scarf=0.30,
            dark_upper=0.45,
        ),
    }
)

OCCLUSION: Bounds = (0.60, 0.95)
"""Share of images with something in front, in an occluded world; not everything hides a tenth."""

INFRARED_CAMERAS = (3, 6)
"""Cameras of a cross-modal world that see infrared light, as in SYSU-MM01."""


def cross_modal_size(size: Size) -> Size:
    """The same size with the six cameras of SYSU-MM01 and without distractors and junk."""
    return replace(size, cameras=6, cameras_per_id=(3, 6), distractors=0, junk=0)


def infrared_ranges(domain: Domain) -> Domain:
    """Ranges of an infrared camera of a domain: no colour, its own lamp, more noise.

    The lamp beside the lens lights every place alike, so that cameras differ little in exposure
    and no background is much darker than another.
    """
    low, high = domain.noise
    return replace(
        domain,
        gain_sd=0.0,
        gain_common=(-0.05, 0.05),
        gamma=(0.95, 1.10),
        saturation=(0.0, 0.0),
        noise=(1.3 * low, 1.3 * high),
        wall=(95.0, 140.0),
    )
