"""The parts of the picture: boxes in the camera, the view from above, the list of what was found."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Doubles
from fusion_pipeline.dashboard.canvas import (
    CLASSES,
    FAINT,
    GRID,
    MISSED,
    MODALITIES,
    SOUND,
    TEXT,
    TRUTH,
    Canvas,
    Colour,
    Rect,
)
from fusion_pipeline.dashboard.tables import label_of, nearest_rows, side
from fusion_pipeline.geometry.boxes import bev_corners, corners
from fusion_pipeline.messages import Boxes, Detections, Tracks
from fusion_pipeline.messages.detections import MODALITIES as NAMES
from fusion_pipeline.rig import CameraMount

_Page = Callable[[Array], Doubles]  # (N, 2) metres ahead and to the left, to pixels
_FACES = ((0, 1, 2, 3), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
_EDGE_POINTS = 24  # an edge is bent by a lens, and may pass out of sight on its way
_BEHIND_M = 12.0  # of the view from above that lies behind the vehicle
_AHEAD_M = 62.0
_VEHICLE_M = (4.2, 1.8)
_MOVES_MPS = 0.7  # slower than this is drawn as standing
_GROUND_M = 0.3  # points below this are road


def box_rows(boxes: Boxes) -> Doubles:
    """(N, 7) x y z length width height yaw."""
    return np.column_stack([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad]).astype(np.float64)


def colour_of(label: int) -> Colour:
    """The colour of a class."""
    return CLASSES[label % len(CLASSES)]


def draw_camera(
    canvas: Canvas,
    frame: Bytes,
    found: Tracks | Detections,
    camera: CameraMount,
    truth: Array | None,
    missed: Array | None = None,
) -> None:
    """The frame, stretched over the whole canvas, with the boxes in it: outlines, labels, shares of the sensors.

    `missed` (K, 7) is truth that was not found, and stands out.
    """
    canvas.paste(frame, Rect(0, 0, canvas.width, canvas.height))
    view = _View(canvas, camera)
    for row in truth if truth is not None else ():
        view.outline(corners(row[None])[0], TRUTH, 1.0)
    for row in missed if missed is not None else ():
        view.outline(corners(row[None])[0], MISSED, 2.0)
    boxes, rows = found.boxes, nearest_rows(found.boxes)
    solids = corners(box_rows(boxes))
    for row in reversed(rows):  # the nearest last, over the others
        colour = colour_of(int(boxes.labels[row]))
        view.fill(solids[row], colour)
        view.outline(solids[row], colour, 2.0)
    taken: list[Rect] = []
    for row in rows:
        top = view.top_of(solids[row])
        if top is not None:
            _label(canvas, found, row, *top, taken)


class _View:
    """Vehicle-frame solids on a camera's canvas."""

    def __init__(self, canvas: Canvas, camera: CameraMount) -> None:
        self._canvas = canvas
        self._model = camera.model.scaled(canvas.width, canvas.height)
        self._camera_from_vehicle = camera.vehicle_from_sensor.inverse()

    def outline(self, solid: Doubles, colour: Colour, width: float) -> None:
        """The twelve edges of (8, 3) corners, as far as they are in sight."""
        share = np.linspace(0, 1, _EDGE_POINTS)[:, None]
        for a, b in _EDGES:
            pixels = self._project(solid[a] * (1 - share) + solid[b] * share)
            if len(pixels) > 1:
                self._canvas.line(pixels, colour, width)

    def fill(self, solid: Doubles, colour: Colour) -> None:
        """A breath of colour over the faces that are wholly in sight."""
        for face in _FACES:
            pixels = self._project(solid[list(face)])
            if len(pixels) == 4:
                self._canvas.area(pixels, colour, 0.09)

    def top_of(self, solid: Doubles) -> tuple[float, float] | None:
        """Left end and height of the box's highest visible point; None where nothing of the box is in the picture."""
        pixels = self._project(solid)
        if not len(pixels):
            return None
        (left, top), (right, bottom) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
        if right < 0 or bottom < 0 or left > self._canvas.width or top > self._canvas.height:
            return None
        return max(left, 2.0), max(top, 2.0)

    def _project(self, points: Doubles) -> Doubles:
        """Pixels of the points before the camera and not absurdly far outside of the picture."""
        pixels, _ = self._model.project(self._camera_from_vehicle.apply(points))
        size = np.asarray([self._canvas.width, self._canvas.height])
        with np.errstate(invalid="ignore"):
            return pixels[((pixels > -size) & (pixels < 2 * size)).all(axis=1)]


def _label(canvas: Canvas, found: Tracks | Detections, row: int, x: float, y: float, taken: list[Rect]) -> None:
    boxes, size = found.boxes, 13
    label = int(boxes.labels[row])
    text = f"{label_of(found.class_names, label)} {boxes.scores[row]:.2f}"
    width, height = Canvas.text_width(text, size) + 10, size + 9
    where = Rect(min(x, canvas.width - width - 2), max(y - height - 2, 2), width, height)
    for _ in range(6):
        if not any(where.overlaps(other) for other in taken):
            break
        where = Rect(where.x, where.y - height - 2, width, height)
    else:
        return
    if where.y < 0:
        return
    taken.append(where)
    canvas.rect(where, (10, 12, 16), 0.78)
    canvas.rect(Rect(where.x, where.y, 3, where.height), colour_of(label))
    canvas.text(where.x + 7, where.y + size + 1, text, TEXT, size)
    draw_shares(canvas, boxes.attribution[row], Rect(where.x + 3, where.y + height - 4, width - 3, 3))


def draw_shares(canvas: Canvas, shares: Array, where: Rect) -> None:
    """A bar of the shares that LiDAR, camera and audio had in a box."""
    x = where.x
    for share, colour in zip(shares.tolist(), MODALITIES, strict=True):
        width = where.width * max(share, 0.0)
        if width >= 0.5:
            canvas.rect(Rect(x, where.y, width, where.height), colour)
        x += width


def draw_from_above(
    canvas: Canvas,
    points_m: Array,
    found: Tracks | Detections,
    camera: CameraMount,
    truth: Array | None,
    missed: Array | None = None,
) -> None:
    """The view from above, the vehicle's front upward: points, boxes, where they go, where sounds come from."""
    scale = canvas.height / (_BEHIND_M + _AHEAD_M)
    origin = np.asarray([canvas.width / 2, _AHEAD_M * scale])

    def page(xy: Array) -> Doubles:
        xy = np.asarray(xy, np.float64)
        return origin + np.column_stack([-xy[:, 1], -xy[:, 0]]) * scale

    for radius in range(10, 90, 10):
        canvas.circle(float(origin[0]), float(origin[1]), radius * scale, GRID, 0.8)
    _sounds(canvas, found, page)
    _field_of_view(canvas, camera, page)
    order = np.argsort(points_m[:, 2], kind="stable")
    canvas.dots(page(points_m[order, :2]), _height_colours(points_m[order, 2]))
    for radius in range(10, 70, 10):
        canvas.text(origin[0] + 4, origin[1] - radius * scale - 3, f"{radius} m", FAINT, 11)
    length, width = _VEHICLE_M
    canvas.area(page(bev_corners(np.asarray([[0, 0, 0, length, width, 1, 0]]))[0]), TEXT, 0.9)
    for row in truth if truth is not None else ():
        canvas.line(page(bev_corners(row[None])[0]), TRUTH, 1.0, closed=True)
    for row in missed if missed is not None else ():
        canvas.line(page(bev_corners(row[None])[0]), MISSED, 2.0, closed=True)
    boxes = found.boxes
    outlines = bev_corners(box_rows(boxes))
    for row in range(len(boxes)):
        colour = colour_of(int(boxes.labels[row]))
        outline = page(outlines[row])
        canvas.area(outline, colour, 0.35)
        canvas.line(outline, colour, 1.8, closed=True)
        centre, front = page(boxes.centers_m[row : row + 1, :2])[0], outline[[0, 3]].mean(axis=0)
        canvas.line(np.stack([centre, front]), colour, 1.8)
        velocity = boxes.velocities_mps[row]
        if np.hypot(*velocity) > _MOVES_MPS:  # the arrow ends where the box will be in a second
            canvas.arrow(centre, page((boxes.centers_m[row, :2] + velocity)[None])[0], TEXT, 1.6)
        if boxes.track_ids[row] >= 0:
            canvas.text(outline[:, 0].max() + 3, centre[1] + 4, str(int(boxes.track_ids[row])), colour, 12)


def _height_colours(z_m: Array) -> Bytes:
    """(N, 3) red, green, blue: the road dark, the rest brighter with height."""
    share = np.clip((z_m - _GROUND_M) / 2.5, 0, 1)[:, None]
    colours = np.asarray([84, 98, 122]) * (1 - share) + np.asarray([214, 222, 236]) * share
    colours[z_m < _GROUND_M] = (48, 56, 71)
    return colours.astype(np.uint8)


def _field_of_view(canvas: Canvas, camera: CameraMount, page: _Page) -> None:
    middle = camera.model.height_px / 2
    rays = camera.model.rays(np.asarray([[0.0, middle], [camera.model.width_px - 1.0, middle]]))
    start = camera.vehicle_from_sensor.translation_m[:2]
    for ray in rays @ camera.vehicle_from_sensor.rotation.T:
        canvas.line(page(np.stack([start, start + 90 * ray[:2]])), GRID, 1.2)


def _sounds(canvas: Canvas, found: Tracks | Detections, page: _Page) -> None:
    for sound in found.sounds:
        for half_rad in np.deg2rad([12.0, 8.0, 4.0]):  # denser towards the middle
            angles = sound.azimuth_rad + np.linspace(-half_rad, half_rad, 12)
            arc = 80 * np.column_stack([np.cos(angles), np.sin(angles)])
            canvas.area(page(np.concatenate([np.zeros((1, 2)), arc])), SOUND, 0.13)
        direction = np.asarray([[math.cos(sound.azimuth_rad), math.sin(sound.azimuth_rad)]])
        x, y = page(17 * direction)[0].tolist()
        text = f"{sound.label} {sound.score:.2f}"
        x = min(max(x - Canvas.text_width(text) / 2, 6), canvas.width - Canvas.text_width(text) - 6)
        canvas.text(x, min(max(y, 20), canvas.height - 8), text, (224, 178, 255))


def draw_list(canvas: Canvas, points: int, found: Tracks | Detections) -> None:
    """What was found, the nearest first, and what the colours mean."""
    boxes, right = found.boxes, canvas.width - 16
    y, step = 62.0, 25.0
    title = list_title(len(boxes), int((canvas.height - 10 - y) // step) + 1 - len(found.sounds))
    canvas.text(16, 30, title, TEXT, 16)
    canvas.text(16 + Canvas.text_width(title, 16) + 14, 30, f"{points:,} points", FAINT, 13)
    x = float(right)
    for name, colour in zip(reversed(NAMES), reversed(MODALITIES), strict=True):
        canvas.text(x, 30, name, FAINT, 13, right=True)
        x -= Canvas.text_width(name) + 18
        canvas.rect(Rect(x, 20, 12, 10), colour)
        x -= 14
    for sound in found.sounds:
        canvas.rect(Rect(16, y - 11, 12, 12), SOUND)
        degrees = math.degrees(sound.azimuth_rad)
        text = f"{sound.label} {sound.score:.2f} from {degrees:+.0f} deg, {side(sound.azimuth_rad)}"
        canvas.text(38, y, text, TEXT, 14)
        y += step
    for row in nearest_rows(boxes):
        if y > canvas.height - 10:
            break
        _list_row(canvas, found, row, y, right)
        y += step


def list_title(objects: int, rows: int) -> str:
    """How many objects there are, and how many of them have room in the list."""
    return f"{objects} objects" if objects <= rows else f"the nearest {max(rows, 0)} of {objects} objects"


def _list_row(canvas: Canvas, found: Tracks | Detections, row: int, y: float, right: float) -> None:
    boxes = found.boxes
    label, track = int(boxes.labels[row]), int(boxes.track_ids[row])
    ahead, left = boxes.centers_m[row, :2].tolist()
    speed = math.hypot(*boxes.velocities_mps[row].tolist())
    canvas.rect(Rect(16, y - 11, 12, 12), colour_of(label))
    canvas.text(38, y, label_of(found.class_names, label), TEXT, 14)
    canvas.text(160, y, f"#{track}" if track >= 0 else "", FAINT, 14)
    canvas.text(270, y, f"{boxes.scores[row]:.2f}", TEXT, 14, right=True)
    canvas.text(370, y, f"{math.hypot(ahead, left):.1f} m", TEXT, 14, right=True)
    canvas.text(392, y, side(math.atan2(left, ahead)), FAINT, 14)
    canvas.text(600, y, f"{speed:.1f} m/s" if speed > _MOVES_MPS else "stands", TEXT, 14, right=True)
    draw_shares(canvas, boxes.attribution[row], Rect(640, y - 9, max(right - 640, 1), 7))
