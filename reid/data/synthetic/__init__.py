"""Synthetic worlds: generated people, cameras and tracks in the layout of real datasets."""

from reid.data.synthetic.build import build_world
from reid.data.synthetic.layout import schedule
from reid.data.synthetic.render import render_image
from reid.data.synthetic.sheet import contact_sheet
from reid.data.synthetic.shots import ImageKey, Shot
from reid.data.synthetic.tables import DEFAULT_SEEDS, INFRARED_CAMERAS, SIZES, UNLABELLED_SIZES
from reid.data.synthetic.world import GENERATOR_VERSION, MIXED, Kind, WorldSpec, sizes_of

__all__ = [
    "DEFAULT_SEEDS",
    "GENERATOR_VERSION",
    "INFRARED_CAMERAS",
    "MIXED",
    "SIZES",
    "UNLABELLED_SIZES",
    "ImageKey",
    "Kind",
    "Shot",
    "WorldSpec",
    "build_world",
    "contact_sheet",
    "render_image",
    "schedule",
    "sizes_of",
]
