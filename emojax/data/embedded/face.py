"""Painting of one batch of faces; the parameters are named in people.py.

Face coordinates are (u, v), v downwards, in units of half the image's side.
The face is symmetric, so left and right parts are painted at once at |u|.
`p` holds one [F, 1, 1] array per parameter ([F, 3, 1, 1] for colours), AUs
included ('AU1', ...), and the width `soft` of one anti-aliased edge.
"""

import dataclasses

import numpy as np

from emojax.data.embedded.shapes import (
  box,
  bump,
  cover,
  ellipse,
  paint,
  segment,
)

EYE, BROW, MOUTH = -0.17, -0.43, 0.52  # v of the features


@dataclasses.dataclass
class Part:
  """Rows of a batch of images and their face coordinates."""

  image: np.ndarray  # [F, 3, h, W]
  u: np.ndarray  # [F, h, W]
  v: np.ndarray


def face_mask(u, v, p):
  """Coverage of the face: an ellipse that narrows to the jaw."""
  drop = 0.07 * p['AU26']
  below = np.maximum(v - 0.1, 0)
  width = p['face_width'] * (1 - p['jaw'] * below)
  return cover(
    ellipse(u, v - 0.04 - drop * 0.5, width, p['face_height'] + drop * 0.5),
    p['soft'],
  )


def paint_background(part: Part, p, x, y) -> None:
  image = part.image
  mix = 0.5 + 0.35 * x + 0.35 * y
  image[:] = p['back_a'] + mix[:, None] * (p['back_b'] - p['back_a'])
  shoulders = ellipse(part.u, part.v - 1.75, 1.25, 0.8)
  paint(image, cover(shoulders, p['soft']), p['shirt'])
  neck = box(part.u, part.v - 1.0, 0.42 * p['face_width'] / 0.72, 0.4)
  paint(image, cover(neck, p['soft']), 0.62 * p['skin'])
  hair = ellipse(
    part.u,
    part.v + 0.08,
    p['face_width'] + 0.06 + 0.25 * p['hair_side'],
    p['face_height'] + 0.1,
  )
  low = cover(part.v - 0.2 - 1.5 * p['hair_side'], 0.1)
  paint(image, cover(hair, p['soft']) * low, p['hair'])


def shading(part: Part, p):
  """Brightness of the skin: light, relief and wrinkles."""
  u, v, a = part.u, part.v, np.abs(part.u)
  r = (u / p['face_width']) ** 2 + (v / p['face_height']) ** 2
  shade = 1.04 - 0.24 * r * r + p['light_x'] * u + p['light_y'] * v
  shade += cheeks(a, v, p)
  shade -= wrinkles(u, a, v, p)
  shade -= nose(u, a, v, p)
  return shade


def cheeks(a, v, p):
  lift = np.maximum(p['AU6'], 0.5 * p['AU12'])
  ball = bump(a - 0.4, v - 0.17 + 0.05 * lift, 0.24, 0.19)
  socket = bump(a - p['eye_space'], v - EYE + 0.02, 0.3, 0.2)
  return (0.05 + 0.12 * lift) * ball - 0.12 * socket


def wrinkles(u, a, v, p):
  """Furrows of forehead, brows, nose and mouth, and the beard."""
  soft = np.maximum(p['soft'], 0.03)
  rows = np.abs(((v + 0.62) * 9) % 1 - 0.5)
  forehead = cover((rows - 0.2) / 9, soft) * bump(a * 0, v + 0.68, 1, 0.2)
  side = np.clip(a / 0.4, 0, 1)
  dark = 0.3 * forehead * (p['AU1'] * (1 - side) + p['AU2'] * side)
  glabella = cover(np.abs(a - 0.055) - 0.014, soft) * bump(a, v + 0.4, 0.2, 0.2)
  dark += 0.45 * p['AU4'] * glabella
  bridge = np.abs(((v + 0.2) * 10) % 1 - 0.5)
  dark += (
    0.5
    * p['AU9']
    * cover((bridge - 0.2) / 10, soft)
    * bump(a, v + 0.1, 0.15, 0.16)
  )
  crow = np.maximum(np.abs(v - EYE - 0.02) - 0.05, 0)
  dark += 0.22 * p['AU6'] * bump(a - p['eye_space'] - 0.25, crow, 0.1, 0.06)
  pouch = bump(a - p['eye_space'], v - EYE - 0.13, 0.2, 0.05)
  dark += 0.2 * np.maximum(p['AU6'], 0.8 * p['AU7']) * pouch
  return dark + folds(a, v, p, soft)


def folds(a, v, p, soft):
  """Lines from the nose to beside the mouth, chin, and the beard."""
  amount = np.maximum(np.maximum(p['AU12'], p['AU10']), p['AU9'])
  corner = p['mouth_width'] + 0.11 + 0.06 * p['AU12']
  line = segment(
    a, v, (p['nose_width'] + 0.05, 0.2 - 0.04 * amount), (corner, MOUTH - 0.06)
  )
  dark = (0.06 + 0.3 * amount) * cover(line - 0.012, soft * 1.5)
  down = segment(a, v, (corner - 0.07, MOUTH + 0.12), (corner, MOUTH + 0.22))
  dark += 0.3 * p['AU15'] * cover(down - 0.012, soft * 1.5)
  chin = bump(a, v - MOUTH - 0.24 - 0.16 * p['AU26'], 0.22, 0.07)
  dark += (0.08 + 0.2 * np.maximum(p['AU15'], p['AU24'])) * chin
  beard = bump(a, v - 0.72, 0.75, 0.6)
  return dark + p['beard'] * beard


def nose(u, a, v, p):
  u = u - 0.06 * p['yaw']
  a = np.abs(u)
  tip = 0.22 + p['nose_length'] - 0.035 * np.maximum(p['AU9'], 0.6 * p['AU10'])
  ridge = bump(a - 0.075, v - 0.02, 0.05, 0.3) * (
    0.09 + 0.25 * p['light_x'] * u
  )
  nostril = bump(a - 0.6 * p['nose_width'], v - tip, 0.05, 0.035)
  under = bump(u, v - tip - 0.02, p['nose_width'] + 0.03, 0.05)
  shine = bump(u, v - tip + 0.08, 0.06, 0.1)
  return ridge + 0.5 * nostril + 0.2 * under - 0.1 * shine


def paint_hair(part: Part, p) -> None:
  u, v = part.u, part.v
  line = v - p['hairline'] - (0.25 + 0.5 * p['hair_side']) * u * u
  crown = ellipse(u, v + 0.05, p['face_width'] + 0.06, p['face_height'] + 0.08)
  mask = cover(line, p['soft'] * 2) * cover(crown, p['soft'])
  paint(part.image, mask, p['hair'])


def eye_shape(p):
  """Heights of the upper and lower lid above and below the eye's line."""
  narrow = 0.42 * p['AU7'] + 0.12 * p['AU4'] + 0.1 * p['AU6'] + 0.2 * p['AU9']
  wide = 1 + 0.6 * p['AU5'] + 0.12 * p['AU1'] - narrow
  upper = 0.095 * wide * (1 - p['blink'])
  lower = 0.06 - 0.075 * p['AU6'] - 0.035 * p['AU7'] + 0.015 * p['AU5']
  # A closed eye is a line at the lower lid.
  return upper - 0.03 * p['blink'], np.maximum(lower, 0.015 - upper)


def paint_eyes(part: Part, p) -> None:
  image, soft = part.image, p['soft']
  side = np.where(part.u < 0, np.float32(-1), np.float32(1))
  a = part.u * side - p['eye_space']
  half = 0.19 * p['eye_size']
  x = a / half
  v = part.v - EYE + p['eye_tilt'] * x
  arch = 1 - x * x
  upper, lower = eye_shape(p)
  top, bottom = v + upper * arch, v - lower * arch
  inside = np.minimum(cover(-top, soft), cover(bottom, soft))
  paint(image, inside, p['white'])
  gaze = a - 0.05 * p['gaze_x'] * side
  r = np.sqrt(gaze**2 + (v - 0.04 * p['gaze_y'] + 0.015) ** 2)
  paint(image, inside * cover(r - 0.105 * p['eye_size'], soft), p['iris'])
  paint(image, inside * cover(r - 0.05 * p['eye_size'], soft), p['black'])
  lid = cover(np.abs(top) - 0.016, soft) * np.clip(3 * (arch + 0.25), 0, 1)
  paint(image, 0.85 * lid, p['lash'])
  under = cover(np.abs(bottom) - 0.006, soft) * np.clip(2 * arch, 0, 1)
  paint(image, 0.4 * under, p['lash'])


def paint_brows(part: Part, p) -> None:
  inner = 0.13 - 0.055 * p['AU4']
  length = 0.46 - 0.02 * p['AU4']
  t = (np.abs(part.u) - inner) / length
  raised = 0.16 * p['AU1'] - 0.13 * p['AU4'] - 0.05 * p['AU9']
  ends = -raised, -0.15 * p['AU2'] + 0.03 * p['AU4']
  middle = -0.07 * p['AU1'] - 0.1 * p['AU2'] + 0.07 * p['AU4']
  s = 1 - t
  curve = ends[0] * s * s + 2 * middle * s * t + ends[1] * t * t
  curve -= (0.02 + 4 * p['brow_arch'] * t) * s - 0.03 * t * t
  off = np.abs(part.v - BROW + p['brow_height'] - curve)
  thick = p['brow_thick'] * (1.15 - 0.6 * t)
  cap = cover((np.abs(t - 0.5) - 0.5) * length, p['soft'] * 1.5)
  paint(part.image, 0.92 * cover(off - thick, p['soft']) * cap, p['brow'])


def mouth_shape(p):
  """Half width, corner height and gaps of the mouth, each [F, 1, 1]."""
  tight = np.maximum(p['AU23'], p['AU24'])
  wide = 1 + 0.25 * p['AU12'] + 0.3 * p['AU20'] + 0.05 * p['AU15']
  width = p['mouth_width'] * (wide - 0.25 * p['AU23'] - 0.22 * p['AU26'])
  corner = 0.13 * p['AU12'] - 0.13 * p['AU15'] - 0.03 * p['AU20']
  corner = corner + p['resting_smile']
  above = 0.03 * p['AU25'] + 0.055 * p['AU10'] + 0.02 * p['AU26']
  below = 0.055 * p['AU25'] + 0.21 * p['AU26'] + 0.02 * p['AU10']
  open_ = np.clip(4 * np.maximum(p['AU25'], p['AU26']) + p['AU10'], 0, 1)
  open_ = open_ * (1 - 0.7 * p['AU24'])
  return width, corner, above * open_, below * open_, tight


def paint_mouth(part: Part, p) -> None:
  image, soft = part.image, p['soft']
  width, corner, above, below, tight = mouth_shape(p)
  x = (part.u - 0.03 * p['yaw']) / width
  xx = x * x
  arch = 1 - xx
  full = p['lip_full'] * (1 - 0.6 * tight)
  v = part.v - MOUTH + corner * (xx - 0.35) + 0.02 * p['AU10']
  flat = arch * (1 + 0.6 * xx)
  lift = above + 0.055 * full + 0.02 * p['AU10']
  sag = below + 0.075 * full
  lips = np.minimum(cover(-v - lift * flat, soft), cover(v - sag * arch, soft))
  paint(image, 0.85 * lips, p['lips'])
  hole = np.minimum(
    cover(-v - above * flat, soft), cover(v - below * arch, soft)
  )
  hole *= np.clip(40 * (above + below), 0, 1)
  paint(image, hole, p['inside'])
  teeth = cover(v + above * flat - 0.075, soft)
  paint(image, 0.9 * hole * teeth, p['teeth'])
  line = cover(np.abs(v) - 0.008 - 0.008 * tight, soft) * np.clip(
    4 * arch, 0, 1
  )
  paint(
    image,
    (0.75 - 0.7 * np.clip(20 * (above + below), 0, 1)) * line,
    p['inside'],
  )


def paint_occlusion(part: Part, p) -> None:
  u, v, a, soft = part.u, part.v, np.abs(part.u), p['soft']
  lens = ellipse(a - p['eye_space'], v - EYE - 0.02, 0.25, 0.19)
  rim = cover(np.abs(lens) - 0.018, soft)
  rim = np.maximum(rim, cover(box(u, v - EYE + 0.02, 0.1, 0.018), soft))
  arm = cover(box(a - 0.75, v - EYE + 0.02, 0.17, 0.018), soft)
  paint(part.image, p['glasses'] * np.maximum(rim, arm), p['black'])
  paint(part.image, 0.95 * p['dark_glass'] * cover(lens, soft), p['black'])
  hand = ellipse(u - p['hand_x'], v - 0.78, 0.5, 0.42)
  fingers = 0.75 + 0.25 * np.clip(
    np.abs(((u - p['hand_x']) * 4) % 1 - 0.5) * 8, 0, 1
  )
  paint(part.image, p['hand'] * cover(hand, soft), p['skin'] * fingers[:, None])
  block = cover(p['block_at'] - u * p['block_side'], soft)
  paint(part.image, p['block'] * block, p['block_color'])
