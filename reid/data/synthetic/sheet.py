"""Contact sheet: a picture from which a person can judge a world at a glance."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from reid.data.synthetic.layout import schedule
from reid.data.synthetic.render import Rendering, Scene, scene_of
from reid.data.synthetic.shots import Shot
from reid.data.synthetic.world import WorldSpec
from reid.errors import ParamsError

CELL_HEIGHT = 192
MARGIN = 6
CAPTION = 14
PAPER = (250, 250, 248)
EMPTY = (226, 226, 222)
INK = (30, 30, 30)
VIDEO_CELLS = 10
"""Images of each video of an unlabelled world."""


def contact_sheet(spec: WorldSpec, path: Path, people: int = 8) -> None:
    """Write a PNG from which a person can judge a world at a glance.

    People are rows and cameras columns; each cell shows the first image of a person at a camera.
    The first rows are the first pair of twins. Further rows show occluded people, distractors and
    junk, where the world has them. An unlabelled world knows no people: its rows are videos, and
    the cells of a row are spread over the length of the video.

    Args:
        spec: The world.
        path: PNG file to write.
        people: Number of rows, of people or of videos.

    Raises:
        ParamsError: If `people` is below 2.
    """
    if people < 2:
        raise ParamsError(f"people {people}", "at least 2", "Ask for more rows.")
    scene, shots = scene_of(spec), schedule(spec)
    if spec.labelled:
        rows = [_person_row(scene, shots, number) for number in _people(scene, shots, people)]
        rows += _special_rows(scene, shots)
    else:
        rows = [_video_row(scene, shots, video) for video in list(scene.places)[:people]]
    sheet = _Sheet(max(len(row) for row in rows), len(rows))
    for number, row in enumerate(rows):
        for column, (caption, rendering) in enumerate(row):
            sheet.put(number, column, caption, rendering)
    sheet.picture.save(path, "PNG")


Cell = tuple[str, Rendering | None]


def _people(scene: Scene, shots: Sequence[Shot], amount: int) -> list[int]:
    """Person ids: the first twins, then others at even distances."""
    known = {shot.key.number: shot.key for shot in shots if shot.key.kind == "person"}
    chosen: list[int] = []
    for person_id, key in known.items():
        who = scene.identity(key)
        if who and who.twin_of:
            chosen = [who.twin_of, person_id]
            break
    others = [person_id for person_id in known if person_id not in chosen]
    wanted = min(amount - len(chosen), len(others))
    return chosen + [others[place * len(others) // wanted] for place in range(wanted)]


def _person_row(scene: Scene, shots: Sequence[Shot], person_id: int) -> list[Cell]:
    first = {
        shot.key.camera: shot.key
        for shot in reversed(shots)
        if shot.key.kind == "person" and shot.key.number == person_id
    }
    who = scene.identity(next(iter(first.values())))
    twin = f" twin of {who.twin_of}: {who.twin_detail}" if who and who.twin_of else ""
    row: list[Cell] = []
    for camera, place in scene.places.items():
        rendering = scene.render(first[camera]) if camera in first else None
        spectrum = " infrared" if place.camera.infrared else ""
        row.append((f"{person_id} c{camera}{spectrum}", rendering))
    caption, rendering = row[0]
    return [(caption + twin, rendering), *row[1:]]


def _video_row(scene: Scene, shots: Sequence[Shot], video: int) -> list[Cell]:
    keys = [shot for shot in shots if shot.key.camera == video]
    spread = [keys[place * len(keys) // VIDEO_CELLS] for place in range(VIDEO_CELLS)]
    seconds = [f"{shot.time:.0f} s" for shot in spread]
    # the name of a video is too long for one cell
    captions = [*spread[0].file.split("/")[2].split("+"), *seconds[3:]]
    return [(text, scene.render(shot.key)) for text, shot in zip(captions, spread, strict=True)]


def _special_rows(scene: Scene, shots: Sequence[Shot]) -> list[list[Cell]]:
    """A row each of occluded people, distractors and junk, of those that the world has."""
    columns = len(scene.places)
    rows: list[list[Cell]] = [[], [], []]
    for shot in shots:
        kind = shot.key.kind
        row = rows[("person", "distractor", "junk").index(kind)]
        if len(row) == columns:
            continue
        rendering = scene.render(shot.key)
        if kind == "person" and not rendering.occluded:
            continue
        covered = f"occluded {rendering.occ_fraction:.0%}"
        row.append((covered if kind == "person" else f"{kind} {shot.key.number}", rendering))
    return [row for row in rows if row]


class _Sheet:
    """A grid of captioned cells."""

    def __init__(self, columns: int, rows: int) -> None:
        self.cell = (CELL_HEIGHT // 2 + MARGIN, CELL_HEIGHT + CAPTION + MARGIN)
        size = (columns * self.cell[0] + MARGIN, rows * self.cell[1] + MARGIN)
        self.picture = Image.new("RGB", size, PAPER)
        self._pen = ImageDraw.Draw(self.picture)
        self._fonts = [ImageFont.load_default(size) for size in (10, 9, 8, 7)]

    def put(self, row: int, column: int, caption: str, rendering: Rendering | None) -> None:
        """Show an image, or an empty cell where the person did not pass."""
        x, y = MARGIN + column * self.cell[0], MARGIN + row * self.cell[1]
        fitting = (font for font in self._fonts if font.getlength(caption) < self.cell[0])
        self._pen.text((x, y), caption, fill=INK, font=next(fitting, self._fonts[-1]))
        place = (x, y + CAPTION)
        size = (CELL_HEIGHT // 2, CELL_HEIGHT)
        if rendering is None:
            box = (*place, place[0] + size[0], place[1] + size[1])
            self._pen.rectangle(box, fill=EMPTY)
            return
        picture = Image.open(BytesIO(rendering.jpeg))
        self.picture.paste(picture.resize(size, Image.Resampling.BICUBIC), place)
