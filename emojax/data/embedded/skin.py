"""Brightness of the skin: light, relief, wrinkles and beard; see face.py."""

import numpy as np

from emojax.data.embedded.face import EYE, MOUTH
from emojax.data.embedded.shapes import (
  Part,
  bump,
  cover,
  ramp,
  segment,
  stripes,
)


def shading(part: Part, p):
  """Brightness of every pixel if it were skin, [F, H, W] around 1."""
  u, v = part.u, part.v
  r = (u * (1 / p['face_width'])) ** 2
  r += (v * (1 / p['face_height'])) ** 2
  r *= r
  shade = p['light_x'] * u
  shade += p['light_y'] * v
  r *= np.float32(0.24)
  shade -= r
  shade += 1.04
  part = Part(shade, u, v, part.a)
  for add in (_forehead, _eye_region, _nose, _folds):
    add(part, p)
  return shade


def _forehead(part: Part, p) -> None:
  """Level furrows of raised brows, upright ones of lowered brows."""
  soft = np.maximum(p['soft'], 0.03)
  part = part.rows(-0.86, -0.5)
  lines = cover(stripes(part.v + 0.62, 0.11, 0.4), soft)
  lines *= bump(part.u, part.v + 0.68, 0.62, 0.18)
  side = ramp(part.a * np.float32(2.5))
  part.image -= 0.35 * lines * (p['AU1'] + side * (p['AU2'] - p['AU1']))


def _eye_region(part: Part, p) -> None:
  """Sockets, cheeks, pouches, crow's feet, frown and nose wrinkles."""
  soft = np.maximum(p['soft'], 0.03)
  lift, space = np.maximum(p['AU6'], 0.5 * p['AU12']), p['eye_space']
  height = 0.17 - 0.05 * lift
  _blob(part, -0.12, space, EYE - 0.02, 0.3, 0.2)
  _blob(part, 0.04 + 0.13 * lift, 0.4, height, 0.24, 0.19)
  pouch = np.maximum(p['AU6'], 0.8 * p['AU7'])
  _blob(part, -0.2 * pouch, space, EYE + 0.13, 0.2, 0.05)
  _blob(part, -0.22 * p['AU6'], space + 0.26, EYE + 0.02, 0.1, 0.11)
  some = part.rows(-0.6, -0.2)
  frown = cover(np.abs(some.a - 0.055) - 0.014, soft)
  frown *= bump(some.a, some.v + 0.4, 0.2, 0.2)
  some.image -= 0.45 * p['AU4'] * frown
  some = part.rows(-0.26, 0.06)
  bridge = cover(stripes(some.v + 0.2, 0.1, 0.4), soft)
  bridge *= bump(some.a, some.v + 0.1, 0.15, 0.16)
  some.image -= 0.5 * p['AU9'] * bridge


def _blob(part: Part, amount, a, v, radius_u, radius_v) -> None:
  """Adds a pair of blobs of brightness `amount` at (a, v)."""
  part = part.rows(np.min(v) - radius_v, np.max(v) + radius_v)
  part.image += amount * bump(part.a - a, part.v - v, radius_u, radius_v)


def _nose(part: Part, p) -> None:
  u = part.u - 0.06 * p['yaw']  # it sticks out: turning moves it further
  part = Part(part.image, u, part.v, np.abs(u))
  tip = 0.22 + p['nose_length'] - 0.035 * np.maximum(p['AU9'], 0.6 * p['AU10'])
  some = part.rows(-0.28, 0.32)
  ridge = bump(some.a - 0.075, some.v - 0.02, 0.05, 0.3)
  ridge *= 0.09 + 0.25 * p['light_x'] * some.u
  some.image -= ridge
  _blob(part, -0.5, 0.6 * p['nose_width'], tip, 0.05, 0.035)
  _blob(part, -0.2, 0.0, tip + 0.02, p['nose_width'] + 0.03, 0.05)
  _blob(part, 0.1, 0.0, tip - 0.08, 0.06, 0.1)


def _folds(part: Part, p) -> None:
  """Lines from nose to mouth and below its corners, chin and beard."""
  soft = np.maximum(p['soft'], 0.03) * np.float32(1.6)
  amount = np.maximum(np.maximum(p['AU12'], p['AU10']), p['AU9'])
  corner = p['mouth_width'] + 0.11 + 0.06 * p['AU12']
  zero = np.zeros_like(amount)
  start = p['nose_width'] + 0.05, 0.2 - 0.04 * amount
  some = part.rows(0.05, MOUTH + 0.1)
  line = segment(some.a, some.v, start, (corner, zero + (MOUTH - 0.06)))
  some.image -= (0.05 + 0.24 * amount) * cover(line - 0.01, soft)
  start = corner - 0.07, zero + (MOUTH + 0.12)
  some = part.rows(MOUTH, MOUTH + 0.34)
  line = segment(some.a, some.v, start, (corner, zero + (MOUTH + 0.22)))
  some.image -= 0.26 * p['AU15'] * cover(line - 0.01, soft)
  dark = -0.08 - 0.2 * np.maximum(p['AU15'], p['AU24'])
  _blob(part, dark, 0.0, MOUTH + 0.24 + 0.16 * p['AU26'], 0.22, 0.07)
  _blob(part, -p['beard'], 0.0, 0.72, 0.75, 0.6)
