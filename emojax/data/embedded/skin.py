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
  part = part.rows(-0.6, 0.37)
  shade, a, v = part.image, part.a, part.v
  lift = np.maximum(p['AU6'], 0.5 * p['AU12'])
  beside = a - p['eye_space']
  shade -= 0.12 * bump(beside, v - EYE + 0.02, 0.3, 0.2)
  shade += (0.04 + 0.13 * lift) * bump(
    a - 0.4, v - 0.17 + 0.05 * lift, 0.24, 0.19
  )
  pouch = np.maximum(p['AU6'], 0.8 * p['AU7'])
  shade -= 0.2 * pouch * bump(beside, v - EYE - 0.13, 0.2, 0.05)
  shade -= 0.22 * p['AU6'] * bump(beside - 0.26, v - EYE - 0.02, 0.1, 0.11)
  frown = cover(np.abs(a - 0.055) - 0.014, soft)
  shade -= 0.45 * p['AU4'] * frown * bump(a, v + 0.4, 0.2, 0.2)
  bridge = cover(stripes(v + 0.2, 0.1, 0.4), soft)
  shade -= 0.5 * p['AU9'] * bridge * bump(a, v + 0.1, 0.15, 0.16)


def _nose(part: Part, p) -> None:
  part = part.rows(-0.3, 0.4)
  u = part.u - 0.06 * p['yaw']
  a, v = np.abs(u), part.v
  tip = 0.22 + p['nose_length'] - 0.035 * np.maximum(p['AU9'], 0.6 * p['AU10'])
  ridge = bump(a - 0.075, v - 0.02, 0.05, 0.3)
  dark = ridge * (0.09 + 0.25 * p['light_x'] * u)
  dark += 0.5 * bump(a - 0.6 * p['nose_width'], v - tip, 0.05, 0.035)
  dark += 0.2 * bump(u, v - tip - 0.02, p['nose_width'] + 0.03, 0.05)
  dark -= 0.1 * bump(u, v - tip + 0.08, 0.06, 0.1)
  part.image -= dark


def _folds(part: Part, p) -> None:
  """Lines from nose to mouth and below its corners, chin and beard."""
  soft = np.maximum(p['soft'], 0.03) * np.float32(1.6)
  part = part.rows(0.05, 1.35)
  shade, a, v = part.image, part.a, part.v
  amount = np.maximum(np.maximum(p['AU12'], p['AU10']), p['AU9'])
  corner = p['mouth_width'] + 0.11 + 0.06 * p['AU12']
  start = p['nose_width'] + 0.05, 0.2 - 0.04 * amount
  line = segment(a, v, start, (corner, MOUTH - 0.06 + 0 * amount))
  shade -= (0.05 + 0.24 * amount) * cover(line - 0.01, soft)
  start = corner - 0.07, MOUTH + 0.12 + 0 * amount
  line = segment(a, v, start, (corner, MOUTH + 0.22 + 0 * amount))
  shade -= 0.26 * p['AU15'] * cover(line - 0.01, soft)
  chin = bump(a, v - MOUTH - 0.24 - 0.16 * p['AU26'], 0.22, 0.07)
  shade -= (0.08 + 0.2 * np.maximum(p['AU15'], p['AU24'])) * chin
  shade -= p['beard'] * bump(a, v - 0.72, 0.75, 0.6)
