"""Answers drawn into a picture: a box, the answer, a bar for every label."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from emojax import tasks
from emojax.answers.columns import Layout
from emojax.host.terminal import harmless

# Safe for the common colour-vision deficiencies, on any picture.
SURE, UNSURE = (86, 180, 233), (230, 159, 0)
INK, SHADE, EMPTY = (255, 255, 255), (16, 20, 28), (72, 80, 94)
SHADE_OPACITY = 200  # of 255
LABELS = 8  # bars of a face
Row = Mapping[str, Any]
Corners = tuple[float, float, float, float]  # left, top, right, bottom


class Bar(NamedTuple):
  """A bar of a label: its name, a value and its spread in [0, 1]."""

  name: str
  value: float
  low: float
  high: float


def bars(layout: Layout, row: Row) -> list[Bar]:
  """What is drawn of a face, the labels in the model's order.

  Probabilities with plus and minus one standard deviation of the members;
  valence and arousal from -1 to 1 with their intervals. Of many labels the most
  probable ones are drawn.
  """
  made = [
    Bar(label, *map(float, spread(layout, task, label, row)))
    for task in layout.schema
    for label in task.labels
  ]
  if len(made) > LABELS:
    kept = sorted(made, key=lambda bar: -bar.value)[:LABELS]
    made = [bar for bar in made if bar in kept]
  return made


def spread(layout: Layout, task: tasks.Task, label: str, rows: Row):
  """(value, low, high) of a label in [0, 1], for a row or for columns."""
  name = layout.label(task, label)
  value = np.asarray(rows[name], np.float64)
  if task.kind == 'binned':
    ends = (np.asarray(rows[f'{name}_{end}'], float) for end in ('low', 'high'))
    return tuple((x + 1) / 2 for x in (value, *ends))
  sd = np.asarray(rows[f'{name}_sd'], np.float64)
  return value, np.clip(value - sd, 0, 1), np.clip(value + sd, 0, 1)


def title(layout: Layout, row: Row) -> str:
  """The answer in a line; '?' where it is unsure, with the reason."""
  main = layout.main()
  text = str(row[layout.answer(main)]) if main else ''
  text = text or 'no answer'
  if row['unsure']:
    text += f'? ({row["reason"] or "close"})'.replace(';', ', ')
  return text


def draw(image: np.ndarray, layout: Layout, rows: Sequence[Row]) -> np.ndarray:
  """Draws faces into a picture.

  Args:
    image: uint8 [H, W, 3].
    layout: The columns of the rows.
    rows: The frame's rows; those without a face say so.

  Returns:
    uint8 [H, W, 3].
  """
  picture = Image.fromarray(image)
  layer = Image.new('RGBA', picture.size)
  pen = ImageDraw.Draw(layer)
  faces = [row for row in rows if not np.isnan(row['face'])]
  size = _font_size(image.shape, len(faces))
  for row in faces:
    _box(pen, row, size)
  taken = [_corners(row) for row in faces]
  for row in faces:
    taken.append(_card(pen, picture.size, layout, row, size, taken))
  if not faces:
    _text(pen, (size // 2, size // 2), 'no face found', size)
  return np.asarray(_over(picture, layer))


def _over(picture: Image.Image, layer: Image.Image) -> Image.Image:
  """Lays a layer over a picture, where there is something in it."""
  part = layer.getbbox()
  if part:
    below = picture.crop(part).convert('RGBA')
    made = Image.alpha_composite(below, layer.crop(part)).convert('RGB')
    picture.paste(made, part)
  return picture


def _font_size(shape: Sequence[int], faces: int) -> int:
  """Readable, and smaller where there are many faces."""
  side = min(shape[:2])
  return int(np.clip(side / (28 if faces <= 4 else 42), 9, 40))


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
  return ImageFont.load_default(size)


def _colour(row: Row):
  return UNSURE if row['unsure'] else SURE


def _box(pen, row: Row, size: int):
  width = max(2, size // 8)
  pen.rectangle(_corners(row), outline=(*_colour(row), 255), width=width)


def _corners(row: Row) -> Corners:
  x, y, w, h = (float(row[name]) for name in 'xywh')
  return x, y, x + max(w, 1), y + max(h, 1)


def _card(
  pen, whole, layout: Layout, row: Row, size: int, taken: Sequence[Corners]
) -> Corners:
  """The answer and the bars, beside the box where there is room.

  Where they would cover another face or its card, the answer alone.

  Returns:
    The corners of the card.
  """
  lines = bars(layout, row)
  text = harmless(title(layout, row))
  font = _font(size)
  names = max((font.getlength(bar.name) for bar in lines), default=0)
  length = 5 * size
  inner = max(names + length + size, font.getlength(text))
  card = (int(inner + size), int((len(lines) * 1.25 + 2.1) * size))
  x, y = _place(whole, row, card)
  if len(taken) > 1:
    x, y = _free(whole, row, card, taken)
    if _covered((x, y, x + card[0], y + card[1]), taken):
      lines, card = [], (int(font.getlength(text) + size), int(1.8 * size))
      x, y = _free(whole, row, card, taken)
  pen.rectangle((x, y, x + card[0], y + card[1]), fill=(*SHADE, SHADE_OPACITY))
  pen.text(
    (x + size / 2, y + size * 0.3), text, (*_colour(row), 255), font=font
  )
  for i, bar in enumerate(lines):
    top = y + size * (1.75 + 1.25 * i)
    pen.text((x + size / 2, top), bar.name, (*INK, 255), font=font)
    start = x + size + names
    _one_bar(pen, (start, top + size * 0.25), length, size * 0.75, bar, row)
  return x, y, x + card[0], y + card[1]


def _one_bar(pen, start, length: float, height: float, bar: Bar, row: Row):
  """A bar up to the value, and a line from the low to the high end."""
  x, y = start
  pen.rectangle((x, y, x + length, y + height), fill=(*EMPTY, 255))
  if not np.isfinite(bar.value):
    return
  pen.rectangle(
    (x, y, x + length * bar.value, y + height), fill=(*_colour(row), 255)
  )
  middle = y + height / 2
  width = max(1, int(height / 5))
  low, high = x + length * bar.low, x + length * bar.high
  pen.line((low, middle, high, middle), fill=(*INK, 255), width=width)
  for end in (low, high):
    pen.line((end, y, end, y + height), fill=(*INK, 255), width=width)


def _place(whole, row: Row, card: tuple[int, int]) -> tuple[int, int]:
  """Right of the box, left of it, or below it, inside of the picture."""
  options = _places(row, card)[:4]
  room = (whole[0] - card[0], whole[1] - card[1])
  for left, top in options:
    if 0 <= left <= room[0] and 0 <= top <= room[1]:
      return int(left), int(top)
  return _inside(whole, options[0], card)


def _places(row: Row, card: tuple[int, int]) -> list[tuple[float, float]]:
  """Beside the box, above and below it; then these at its other ends."""
  x, y, w, h = (float(row[name]) for name in 'xywh')
  gap = 6
  beside = (x + w + gap, x - card[0] - gap)
  below = (y + h + gap, y - card[1] - gap)
  return [
    *((left, y) for left in beside),
    *((x, top) for top in below),
    *((left, y + h - card[1]) for left in beside),
    *((x + w - card[0], top) for top in below),
  ]


def _inside(whole, place, card: tuple[int, int]) -> tuple[int, int]:
  left, top = (
    int(np.clip(at, 0, max(0, side - length)))
    for at, side, length in zip(place, whole, card)
  )
  return left, top


def _free(
  whole, row: Row, card: tuple[int, int], taken: Sequence[Corners]
) -> tuple[int, int]:
  """The first place where least is covered."""
  places = [_inside(whole, place, card) for place in _places(row, card)]
  return min(
    places,
    key=lambda p: _covered((*p, p[0] + card[0], p[1] + card[1]), taken),
  )


def _covered(card: Corners, taken: Sequence[Corners]) -> float:
  """Pixels that a card covers of faces and of other cards."""
  return sum(
    max(0.0, min(card[2], other[2]) - max(card[0], other[0]))
    * max(0.0, min(card[3], other[3]) - max(card[1], other[1]))
    for other in taken
  )


def _text(pen, place, text: str, size: int):
  font = _font(size)
  box = pen.textbbox(place, text, font=font)
  edge = size // 3
  pen.rectangle(
    (box[0] - edge, box[1] - edge, box[2] + edge, box[3] + edge),
    fill=(*SHADE, SHADE_OPACITY),
  )
  pen.text(place, text, (*INK, 255), font=font)
