"""Cameras: what each one does to light and sharpness, and how tracks and images vary under it."""

from dataclasses import dataclass
from functools import cached_property
from math import pi
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from reid.data.synthetic.keys import uniform
from reid.data.synthetic.world import WorldSpec

_ZERO = 128
_LUMA = (0.299, 0.587, 0.114)
_QUANTILES = np.array([NormalDist().inv_cdf((n + 0.5) / 256) for n in range(256)])


@dataclass(frozen=True)
class Camera:
    """Fixed properties of one camera; blur is in pixels at an image height of 256."""

    yaw: float
    gain: tuple[float, float, float]
    gamma: float
    saturation: float
    offset: float
    blur: float
    resolution: float
    noise: float
    elevation: float
    light: float
    occlusion: float
    quality: int
    infrared: bool

    @cached_property
    def tone(self) -> NDArray[np.float64]:
        """Gamma curve of the 256 grey levels, 0 to 255."""
        return 255 * np.linspace(0.0, 1.0, 256) ** self.gamma

    @cached_property
    def noise_levels(self) -> bytes:
        """Noise of each of 256 equally likely numbers, `_ZERO` added."""
        levels = np.rint(_QUANTILES * self.noise) + _ZERO
        return bytes(np.clip(levels, 0, 255).astype(np.uint8))

    @cached_property
    def saturation_matrix(self) -> tuple[float, ...]:
        """3 × 4 colour matrix that mixes each channel with the luma."""
        rows: list[float] = []
        for channel in range(3):
            row = [(1 - self.saturation) * weight for weight in _LUMA]
            row[channel] += self.saturation
            rows += [*row, 0.0]
        return tuple(rows)


@dataclass(frozen=True)
class Track:
    """What stays the same while a person passes a camera; `crop` is a share of the free room."""

    yaw: float
    crop: tuple[float, float]
    scale: float
    shift: float
    brightness: float
    resolution: float


@dataclass(frozen=True)
class Moment:
    """What changes from image to image; `crop` is in pixels at a painted height of 256."""

    yaw: float
    phase: float
    crop: tuple[float, float]
    height: float
    shift: float
    brightness: float
    ground: float


def draw_camera(spec: WorldSpec, camera: int) -> Camera:
    """The camera with this number, from 1."""
    draw, ranges = spec.draw("cam", camera), spec.camera_ranges(camera)
    cast = draw.normal(0.0, ranges.gain_sd, 3)
    common = uniform(draw, ranges.gain_common)
    red, green, blue = (1 + spec.colour_cast * (cast - cast.mean() + common)).tolist()
    return Camera(
        yaw=uniform(draw, (0, 2 * pi)),
        gain=(red, green, blue),
        gamma=uniform(draw, ranges.gamma),
        saturation=uniform(draw, ranges.saturation),
        offset=uniform(draw, ranges.offset),
        blur=uniform(draw, ranges.blur),
        resolution=uniform(draw, ranges.resolution),
        noise=uniform(draw, ranges.noise),
        elevation=uniform(draw, ranges.elevation),
        light=uniform(draw, (-ranges.side_light, ranges.side_light)),
        occlusion=uniform(draw, ranges.occlusion),
        quality=int(draw.integers(60, 93)),
        infrared=spec.is_infrared(camera),
    )


def draw_track(draw: np.random.Generator) -> Track:
    """Draw the properties of a track; its yaw is relative to the camera's."""
    half_turn = pi if draw.random() < 0.40 else 0.0
    return Track(
        yaw=float(draw.normal(0.0, 0.45)) + half_turn,
        crop=(draw.random(), draw.random()),
        scale=uniform(draw, (0.88, 1.02)),
        shift=float(draw.normal(0.0, 0.05)),
        brightness=uniform(draw, (0.86, 1.14)),
        resolution=uniform(draw, (0.7, 1.05)),
    )


def draw_moment(draw: np.random.Generator) -> Moment:
    """Draw the properties of one image of a track."""
    return Moment(
        yaw=float(draw.normal(0.0, 0.12)),
        phase=uniform(draw, (0, 2 * pi)),
        crop=(uniform(draw, (-6, 6)), uniform(draw, (-6, 6))),
        height=uniform(draw, (0.80, 0.97)),
        shift=float(draw.normal(0.0, 0.045)),
        brightness=uniform(draw, (0.95, 1.05)),
        ground=uniform(draw, (0.40, 0.66)),
    )


def photograph(
    scene: Image.Image, camera: Camera, brightness: float, resolution: float, height: int
) -> Image.Image:
    """Turn a scene into the picture of a camera, before its noise.

    Args:
        scene: RGB picture at the painted resolution.
        camera: The camera.
        brightness: Exposure of this image.
        resolution: Share of the output pixels that the optics keep.
        height: Output height in pixels; the width is the half.

    Returns:
        RGB picture of the output size.
    """
    share = min(resolution, 1.0)
    small = (max(round(height / 2 * share), 8), max(round(height * share), 16))
    # the sensor mixes light before its electronics bend it, and there are fewer pixels to bend
    picture = scene.resize(small, Image.Resampling.BOX)
    pixels = np.asarray(picture.convert("RGB", camera.saturation_matrix))
    response = _response(camera, brightness)
    toned = np.stack([response[c].take(pixels[..., c]) for c in range(3)], axis=-1)
    picture = Image.fromarray(toned).resize((height // 2, height), Image.Resampling.BILINEAR)
    return picture.filter(ImageFilter.BoxBlur(camera.blur * height / 256))


def _response(camera: Camera, brightness: float) -> NDArray[np.uint8]:
    """Look-up table of gamma, gain and offset, [3, 256]."""
    tone = camera.tone * brightness
    curves = tone * np.array(camera.gain)[:, None] + camera.offset
    table: NDArray[np.uint8] = np.clip(np.rint(curves), 0, 255).astype(np.uint8)
    return table


def add_noise(picture: Image.Image, draw: np.random.Generator, camera: Camera) -> Image.Image:
    """Add normal sensor noise to each pixel: to each channel, or to the only one of infrared."""
    # a table of 256 quantiles is ten times as fast as drawing normal numbers, and as good in 8 bits
    mode = "L" if camera.infrared else "RGB"
    numbers = draw.bytes(picture.width * picture.height * len(mode))
    noise = Image.frombytes(mode, picture.size, numbers.translate(camera.noise_levels))
    if camera.infrared:
        noise = Image.merge("RGB", (noise,) * 3)
    return ImageChops.add(picture, noise, 1.0, -_ZERO)
