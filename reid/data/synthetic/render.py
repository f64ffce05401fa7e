"""From the key of an image to its JPEG bytes."""

from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from reid.data.synthetic.background import paint_background
from reid.data.synthetic.camera import (
    Camera,
    Moment,
    Track,
    add_noise,
    draw_camera,
    draw_moment,
    draw_track,
    photograph,
)
from reid.data.synthetic.colour import lay_person, side_light
from reid.data.synthetic.figure import paint_person
from reid.data.synthetic.keys import generator, uniform
from reid.data.synthetic.occluder import EXTRAS, occlude, occluder_colours
from reid.data.synthetic.person import Identity, stranger
from reid.data.synthetic.schedule import ImageKey
from reid.data.synthetic.skeleton import View
from reid.data.synthetic.twins import person
from reid.data.synthetic.world import WorldSpec

OCCLUDED_ABOVE = 0.10
"""Covered share of a person from which an image counts as occluded."""

NO_VIEW = -1
"""View id of an image that does not show a whole person."""


@dataclass(frozen=True)
class Rendering:
    """An encoded image and what is true of it; the areas are shares of the frame and the person."""

    jpeg: bytes
    view: int
    person_area: float
    occ_fraction: float

    @property
    def occluded(self) -> bool:
        """Whether more than a tenth of the person is covered."""
        return self.occ_fraction > OCCLUDED_ABOVE


class Scene:
    """A world ready to be photographed: its cameras, backgrounds and extras, painted once."""

    def __init__(self, spec: WorldSpec) -> None:
        numbers = range(1, spec.counts.cameras + 1)
        self.spec = spec
        self.cameras = {number: draw_camera(spec, number) for number in numbers}
        self._backgrounds = {number: paint_background(spec, number) for number in numbers}
        size = (spec.counts.paint_height // 2, spec.counts.paint_height)
        self._lights = {n: side_light(self.cameras[n].light, size) for n in numbers}
        self._occluders = {number: occluder_colours(spec, number) for number in numbers}
        self._extras = tuple(stranger(spec, "extra", number) for number in range(EXTRAS))

    def identity(self, key: ImageKey) -> Identity | None:
        """The person of an image; nobody for junk."""
        return _identity(self.spec, key.kind, key.number)

    def render(self, key: ImageKey) -> Rendering:
        """Paint, photograph and encode one image."""
        spec, camera = self.spec, self.cameras[key.camera]
        name: tuple[Any, ...] = (key.kind, key.number, key.camera, key.track)
        track = _track(spec, *name)
        draw = generator(spec.seed, spec.domain, "image", *name, key.index)
        moment = draw_moment(draw)
        scene = self._place(key.camera, track, moment)
        view = self._view(camera, track, moment)
        occluded = draw.random() < camera.occlusion
        label, area, fraction = self._populate(key, scene, view, draw, occluded)
        brightness = track.brightness * moment.brightness
        resolution = camera.resolution * track.resolution
        picture = photograph(scene, camera, brightness, resolution, spec.counts.height)
        noise = generator(spec.seed, spec.domain, "noise", *name, key.index)
        noisy = add_noise(picture, noise, camera)
        return Rendering(_encode(noisy, camera.quality), label, area, fraction)

    def _populate(
        self,
        key: ImageKey,
        scene: Image.Image,
        view: View,
        draw: np.random.Generator,
        occluded: bool,
    ) -> tuple[int, float, float]:
        """Put people and things into the scene; view label, person area, covered share."""
        width, height = scene.size
        light = self._lights[key.camera]
        who = self.identity(key)
        if who is None:
            _leave_junk(scene, draw, view, self._extras, light)
            return NO_VIEW, 0.0, 0.0
        standing = _with_height(view, height, who.build.height)
        mask = lay_person(scene, paint_person(who, standing, height), who, light)
        area = mask.histogram()[255]
        covered = 0
        if occluded:
            colours = self._occluders[key.camera]
            front = occlude(scene, draw, colours, self._extras, standing, light)
            covered = ImageChops.darker(mask, front).histogram()[255]
        return view.label, area / (height * width), covered / max(area, 1)

    def _place(self, camera: int, track: Track, moment: Moment) -> Image.Image:
        """The crop of the background that an image shows."""
        height = self.spec.counts.paint_height
        canvas = self._backgrounds[camera]
        corner = []
        for free, share, move in zip(
            (canvas.height - height, canvas.width - height // 2),
            track.crop,
            moment.crop,
            strict=True,
        ):
            corner.append(int(np.clip(round(free * share + move * height / 256), 0, free)))
        top, left = corner
        return canvas.crop((left, top, left + height // 2, top + height))

    def _view(self, camera: Camera, track: Track, moment: Moment) -> View:
        """The figure box of an image, as tall as the tallest person."""
        height = self.spec.counts.paint_height
        tall = height * moment.height * track.scale
        return View(
            yaw=camera.yaw + track.yaw + moment.yaw,
            phase=moment.phase,
            elevation=camera.elevation,
            centre=height / 2 * (0.5 + track.shift + moment.shift),
            top=(height - tall) * moment.ground,
            height=tall,
        )


def _with_height(view: View, frame: int, height: float) -> View:
    """The same view of a shorter person, whose place between the edges stays the same."""
    tall = view.height * height
    free = frame - view.height
    ground = view.top / free if free > 0 else 0.5
    return View(view.yaw, view.phase, view.elevation, view.centre, (frame - tall) * ground, tall)


def _leave_junk(
    scene: Image.Image,
    draw: np.random.Generator,
    view: View,
    extras: tuple[Identity, ...],
    light: Image.Image,
) -> None:
    """Leave the place empty, or show less than 30 % of a person at an edge of the frame."""
    width, height = scene.size
    choice = draw.random()
    if choice < 0.5:
        return
    who = extras[int(draw.integers(len(extras)))]
    centre, top = view.centre, view.top
    if choice < 0.75:
        top = height * uniform(draw, (0.80, 0.90))
    else:
        beyond = uniform(draw, (0.13, 0.19))
        centre = width * (-beyond if draw.random() < 0.5 else 1 + beyond)
    aside = View(view.yaw, view.phase, view.elevation, centre, top, view.height)
    lay_person(scene, paint_person(who, aside, height), who, light)


@lru_cache(maxsize=4096)
def _identity(spec: WorldSpec, kind: str, number: int) -> Identity | None:
    if kind == "junk":
        return None
    return person(spec, number) if kind == "person" else stranger(spec, kind, number)


@lru_cache(maxsize=256)
def _track(spec: WorldSpec, *name: int | str) -> Track:
    return draw_track(generator(spec.seed, spec.domain, "track", *name))


def _encode(picture: Image.Image, quality: int) -> bytes:
    """JPEG bytes with every option pinned."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=2, optimize=False, progressive=False)
    return buffer.getvalue()


@lru_cache(maxsize=2)
def scene_of(spec: WorldSpec) -> Scene:
    """The scene of a world, painted once in a process."""
    return Scene(spec)


def render_image(spec: WorldSpec, key: ImageKey) -> Image.Image:
    """One image alone, as its file in a full run decodes."""
    rendering = scene_of(spec).render(key)
    picture = Image.open(BytesIO(rendering.jpeg))
    picture.load()
    return picture
