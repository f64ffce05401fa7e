"""Named colours of cloth, skin and hair, and the jitter around them."""

from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]
Palette = tuple[tuple[str, RGB], ...]

CLOTH: Palette = (
    ("black", (30, 30, 34)),
    ("white", (232, 232, 228)),
    ("dark_grey", (84, 86, 90)),
    ("light_grey", (172, 174, 176)),
    ("navy", (30, 40, 84)),
    ("blue", (38, 84, 176)),
    ("light_blue", (132, 180, 224)),
    ("red", (188, 32, 42)),
    ("coral", (238, 118, 100)),
    ("orange", (232, 132, 36)),
    ("yellow", (230, 204, 62)),
    ("green", (44, 132, 68)),
    ("olive", (106, 110, 56)),
    ("purple", (112, 58, 144)),
    ("pink", (234, 150, 186)),
    ("brown", (112, 74, 46)),
    ("beige", (208, 188, 150)),
)
LOWER: Palette = (
    ("black", (30, 30, 34)),
    ("dark_grey", (80, 82, 86)),
    ("light_grey", (164, 166, 168)),
    ("navy", (32, 42, 82)),
    ("denim", (62, 90, 140)),
    ("pale_denim", (132, 160, 196)),
    ("brown", (104, 72, 48)),
    ("beige", (200, 180, 144)),
    ("olive", (98, 104, 56)),
    ("white", (226, 226, 222)),
)
SHOES: Palette = (
    ("black", (28, 28, 30)),
    ("white", (236, 236, 234)),
    ("grey", (128, 130, 132)),
    ("brown", (104, 66, 40)),
    ("red", (186, 40, 44)),
    ("blue", (44, 84, 168)),
    ("beige", (204, 182, 146)),
)
SKIN: Palette = (
    ("very_light", (240, 206, 180)),
    ("light", (224, 180, 148)),
    ("medium", (194, 144, 108)),
    ("brown", (142, 98, 70)),
    ("dark", (92, 62, 48)),
)
HAIR: Palette = (
    ("black", (28, 24, 24)),
    ("dark_brown", (58, 42, 32)),
    ("brown", (100, 68, 44)),
    ("blond", (200, 164, 104)),
    ("red", (146, 68, 36)),
    ("grey", (156, 154, 150)),
)


@dataclass(frozen=True)
class Colour:
    """A colour as drawn: the name it came from and its own value."""

    name: str
    rgb: RGB

    def __str__(self) -> str:
        return "{} #{:02x}{:02x}{:02x}".format(self.name, *self.rgb)

    def difference(self, other: "Colour") -> int:
        """Largest difference of a channel, 0 to 255."""
        return max(abs(a - b) for a, b in zip(self.rgb, other.rgb, strict=True))


def draw_colour(draw: np.random.Generator, palette: Palette, jitter: float) -> Colour:
    """Draw a colour of a palette with normal jitter in each channel."""
    name, rgb = palette[int(draw.integers(len(palette)))]
    shifted = np.clip(np.rint(np.array(rgb) + draw.normal(0.0, jitter, 3)), 4, 250)
    return Colour(name, (int(shifted[0]), int(shifted[1]), int(shifted[2])))


def darkened(colour: Colour, factor: float) -> Colour:
    """The same cloth in dark winter dye."""
    red, green, blue = (round(channel * factor) for channel in colour.rgb)
    return Colour(f"winter_{colour.name}", (red, green, blue))
