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
from reid.data.synthetic.colour import cloth_palette, lay_person, side_light
from reid.data.synthetic.figure import paint_person
from reid.data.synthetic.infrared import infrared_palette
from reid.data.synthetic.keys import uniform
from reid.data.synthetic.occluder import EXTRAS, Extra, occlude, occluder_colours
from reid.data.synthetic.palette import RGB
from reid.data.synthetic.person import Identity, stranger
from reid.data.synthetic.shots import ImageKey
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


@dataclass(frozen=True)
class Place:
    """Where a camera stands: all that its pictures share, painted once."""

    spec: WorldSpec
    camera: Camera
    background: Image.Image
    light: Image.Image
    occluders: tuple[RGB, ...]
    extras: tuple[Extra, ...]

    def crop(self, track: Track, moment: Moment) -> Image.Image:
        """The part of the background that an image shows."""
        height = self.spec.counts.paint_height
        canvas = self.background
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

    def view(self, track: Track, moment: Moment) -> View:
        """The figure box of an image, as tall as the tallest person."""
        height = self.spec.counts.paint_height
        tall = height * moment.height * track.scale
        return View(
            yaw=self.camera.yaw + track.yaw + moment.yaw,
            phase=moment.phase,
            elevation=self.camera.elevation,
            centre=height / 2 * (0.5 + track.shift + moment.shift),
            top=(height - tall) * moment.ground,
            height=tall,
        )


class Scene:
    """A world ready to be photographed."""

    def __init__(self, spec: WorldSpec) -> None:
        self.spec = spec
        self.places = {n: _place(spec.part(n), n) for n in range(1, spec.counts.cameras + 1)}

    def identity(self, key: ImageKey) -> Identity | None:
        """The person of an image; nobody for junk."""
        return _identity(self.spec.part(key.number), key.kind, key.number)

    def render(self, key: ImageKey) -> Rendering:
        """Paint, photograph and encode one image."""
        place = self.places[key.camera]
        spec, camera = place.spec, place.camera
        name: tuple[Any, ...] = (key.kind, key.number, key.camera, key.track)
        track = _track(spec, *name)
        draw = spec.draw("image", *name, key.index)
        moment = draw_moment(draw)
        scene = place.crop(track, moment)
        view = place.view(track, moment)
        occluded = draw.random() < camera.occlusion
        label, area, fraction = self._populate(key, scene, view, draw, occluded)
        brightness = track.brightness * moment.brightness
        resolution = camera.resolution * track.resolution
        picture = photograph(scene, camera, brightness, resolution, spec.counts.height)
        noisy = add_noise(picture, spec.draw("noise", *name, key.index), camera)
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
        place = self.places[key.camera]
        who = self.identity(key)
        if who is None:
            _leave_junk(scene, draw, view, place)
            return NO_VIEW, 0.0, 0.0
        standing = _with_height(view, height, who.build.height)
        palette = _palette(place.spec, place.camera.infrared, who, key.kind, key.number)
        mask = lay_person(scene, paint_person(who, standing, height), palette, place.light)
        area = mask.histogram()[255]
        covered = 0
        if occluded:
            front = occlude(scene, draw, place.occluders, place.extras, standing, place.light)
            covered = ImageChops.darker(mask, front).histogram()[255]
        return view.label, area / (height * width), covered / max(area, 1)


def _place(spec: WorldSpec, number: int) -> Place:
    camera = draw_camera(spec, number)
    size = (spec.counts.paint_height // 2, spec.counts.paint_height)
    return Place(
        spec=spec,
        camera=camera,
        background=paint_background(spec, number),
        light=side_light(camera.light, size),
        occluders=occluder_colours(spec, number),
        extras=_extras(spec, camera.infrared),
    )


@lru_cache(maxsize=8)
def _extras(spec: WorldSpec, infrared: bool) -> tuple[Extra, ...]:
    people = [stranger(spec, "extra", number) for number in range(EXTRAS)]
    return tuple(
        Extra(who, _palette(spec, infrared, who, "extra", number))
        for number, who in enumerate(people)
    )


@lru_cache(maxsize=4096)
def _palette(spec: WorldSpec, infrared: bool, who: Identity, kind: str, number: int) -> bytes:
    return infrared_palette(spec, who, kind, number) if infrared else cloth_palette(who)


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
    place: Place,
) -> None:
    """Leave the place empty, or show less than 30 % of a person at an edge of the frame."""
    width, height = scene.size
    choice = draw.random()
    if choice < 0.5:
        return
    extra = place.extras[int(draw.integers(len(place.extras)))]
    centre, top = view.centre, view.top
    if choice < 0.75:
        top = height * uniform(draw, (0.80, 0.90))
    else:
        beyond = uniform(draw, (0.13, 0.19))
        centre = width * (-beyond if draw.random() < 0.5 else 1 + beyond)
    aside = View(view.yaw, view.phase, view.elevation, centre, top, view.height)
    lay_person(scene, paint_person(extra.who, aside, height), extra.palette, place.light)


@lru_cache(maxsize=4096)
def _identity(spec: WorldSpec, kind: str, number: int) -> Identity | None:
    if kind == "junk":
        return None
    if kind != "person":
        return stranger(spec, kind, number)
    # twins are hard pairs of a split, and an unlabelled world has none
    return person(spec, number) if spec.labelled else stranger(spec, number)


@lru_cache(maxsize=256)
def _track(spec: WorldSpec, *name: int | str) -> Track:
    return draw_track(spec.draw("track", *name))


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
