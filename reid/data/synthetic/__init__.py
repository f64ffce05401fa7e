"""Synthetic worlds: generated people, cameras and tracks in the layout of real datasets."""

from reid.data.synthetic.build import build_world
from reid.data.synthetic.render import render_image
from reid.data.synthetic.schedule import ImageKey, Shot, schedule
from reid.data.synthetic.sheet import contact_sheet
from reid.data.synthetic.world import DEFAULT_SEEDS, GENERATOR_VERSION, SIZES, WorldSpec

__all__ = [
    "DEFAULT_SEEDS",
    "GENERATOR_VERSION",
    "SIZES",
    "ImageKey",
    "Shot",
    "WorldSpec",
    "build_world",
    "contact_sheet",
    "render_image",
    "schedule",
]
