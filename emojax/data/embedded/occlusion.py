"""Painting of what hides parts of a face; see face.py."""

import numpy as np

from emojax.data.embedded.face import EYE
from emojax.data.embedded.shapes import (
  Part,
  box,
  cover,
  ellipse,
  paint,
  stripes,
)


def paint_occlusion(part: Part, p) -> None:
  """Paints what each frame of the batch has: most have nothing."""
  for name, painter in (
    ('glasses', _glasses),
    ('hand', _hand),
    ('block', _block),
  ):
    present = p[name].reshape(-1) > 0
    if present.any():
      _paint_some(part, p, np.flatnonzero(present), painter)


def _paint_some(part: Part, p, frames, painter) -> None:
  """Runs a painter on some frames of the batch."""
  some = Part(
    part.image[:, frames], part.u[frames], part.v[frames], part.a[frames]
  )
  painter(some, {name: value[..., frames, :, :] for name, value in p.items()})
  part.image[:, frames] = some.image


def _glasses(part: Part, p) -> None:
  part = part.rows(EYE - 0.3, EYE + 0.3)
  soft = p['soft']
  lens = ellipse(part.a - p['eye_space'], part.v - EYE - 0.02, 0.25, 0.19)
  rim = np.abs(lens) - 0.018
  bridge = box(part.u, part.v - EYE + 0.02, 0.1, 0.018)
  arm = box(part.a - 0.75, part.v - EYE + 0.02, 0.17, 0.018)
  frame = np.minimum(np.minimum(rim, bridge), arm)
  paint(part.image, cover(frame, soft), p['black'])
  paint(part.image, 0.95 * p['dark_glass'] * cover(lens, soft), p['black'])


def _hand(part: Part, p) -> None:
  part = part.rows(0.25, 9)
  u = part.u - p['hand_x']
  hand = cover(ellipse(u, part.v - 0.78, 0.5, 0.42), p['soft'])
  paint(part.image, hand, p['skin'])
  hand *= cover(stripes(u, 0.25, 0.2), p['soft'])
  paint(part.image, hand, 0.7 * p['skin'])


def _block(part: Part, p) -> None:
  block = cover(p['block_at'] - part.u * p['block_side'], p['soft'])
  paint(part.image, block, p['block_color'])
