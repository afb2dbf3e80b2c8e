"""Painting of a batch of faces: background, skin, hair, eyes, brows, mouth.

Face coordinates are (u, v), v downwards, in units of half the image's side.
Faces are symmetric: left and right are painted at once, at a = |u|. `p` holds
the parameters named in people.py and affect.py (an AU's intensity is under its
name), float32 [F, 1, 1] or for colours [3, F, 1, 1]; `soft` is the width of an
anti-aliased edge.
"""

import numpy as np

from emojax.data.embedded.shapes import (
  Part,
  box,
  cover,
  ellipse,
  paint,
  ramp,
)

EYE, BROW, MOUTH = -0.17, -0.4, 0.52  # v of the features at rest


def paint_background(part: Part, p, x, y) -> None:
  """Two colours that run into each other, shoulders, neck and back hair."""
  mix = 0.5 + 0.35 * x + 0.35 * y
  for plane, one, other in zip(part.image, p['back_a'], p['back_b']):
    plane[:] = one + mix * (other - one)
  low = part.rows(0.9, 9)
  shoulders = ellipse(low.u, low.v - 1.75, 1.25, 0.8)
  paint(low.image, cover(shoulders, p['soft']), p['shirt'])
  low = part.rows(0.55, 9)
  neck = box(low.u, low.v - 1.0, 0.58 * p['face_width'], 0.4)
  paint(low.image, cover(neck, p['soft']), 0.62 * p['skin'])
  end = 0.2 + 1.5 * p['hair_side']
  back = part.rows(-9, end.max() + 0.1)
  width = p['face_width'] + 0.06 + 0.25 * p['hair_side']
  hair = ellipse(back.u, back.v + 0.08, width, p['face_height'] + 0.1)
  mask = cover(hair, p['soft']) * cover(back.v - end, 0.1)
  paint(back.image, mask, p['hair'])


def face_mask(u, v, p):
  """Coverage of the face: an ellipse that narrows to the jaw."""
  drop = 0.035 * p['AU26']
  width = np.maximum(v - 0.1, 0)
  width *= -p['jaw'] * p['face_width']
  width += p['face_width']
  face = ellipse(u, v - 0.04 - drop, width, p['face_height'] + drop)
  return cover(face, p['soft'])


def paint_face(part: Part, p, shade) -> None:
  """Skin of brightness `shade` [F, H, W] on the face."""
  mask = face_mask(part.u, part.v, p)
  for plane, skin in zip(part.image, p['skin']):
    step = shade * skin
    step -= plane
    step *= mask
    plane += step


def paint_hair(part: Part, p) -> None:
  """Hair above the hairline."""
  part = part.rows(-9, -0.1)
  u, v = part.u, part.v
  line = v - p['hairline'] - (0.25 + 0.5 * p['hair_side']) * (u * u)
  crown = ellipse(u, v + 0.05, p['face_width'] + 0.06, p['face_height'] + 0.08)
  mask = cover(line, p['soft'] * 2) * cover(crown, p['soft'])
  paint(part.image, mask, p['hair'])


def lids(p):
  """Heights of upper lid above and lower lid below the line of the eye."""
  narrow = 0.45 * p['AU7'] + 0.12 * p['AU4'] + 0.1 * p['AU6'] + 0.2 * p['AU9']
  wide = 1 + 0.6 * p['AU5'] + 0.12 * p['AU1'] - narrow
  upper = 0.095 * wide * (1 - p['blink'])
  lower = 0.06 - 0.075 * p['AU6'] - 0.035 * p['AU7'] + 0.015 * p['AU5']
  # A closed eye is a line at the lower lid.
  return upper - 0.03 * p['blink'], np.maximum(lower, 0.015 - upper)


def paint_eyes(part: Part, p) -> None:
  """Eyes with lids, iris, pupil and lashes."""
  part = part.rows(EYE - 0.22, EYE + 0.16)
  image, soft = part.image, p['soft']
  a = part.a - p['eye_space']
  x = a * (1 / (0.19 * p['eye_size']))
  v = part.v - EYE + p['eye_tilt'] * x
  arch = 1 - x * x
  upper, lower = lids(p)
  top, bottom = v + upper * arch, v - lower * arch
  inside = np.minimum(cover(-top, soft), cover(bottom, soft))
  inside *= ramp(6 * arch)
  paint(image, inside, p['white'])
  r = _iris_distance(part, a, v, p)
  paint(image, inside * cover(r - 0.105 * p['eye_size'], soft), p['iris'])
  paint(image, inside * cover(r - 0.05 * p['eye_size'], soft), p['black'])
  lid = cover(np.abs(top) - 0.016, soft) * ramp(2.55 * arch + 0.64)
  paint(image, lid * np.float32(0.85), p['lash'])
  under = cover(np.abs(bottom) - 0.006, soft) * ramp(2 * arch)
  paint(image, under * np.float32(0.4), p['lash'])


def _iris_distance(part: Part, a, v, p):
  """Distance to the centre of the iris; both eyes look to the same side."""
  du = a - np.copysign(0.05 * p['gaze_x'], part.u * p['gaze_x'])
  dv = v - (0.04 * p['gaze_y'] - 0.015)
  return np.sqrt(du * du + dv * dv)


def paint_brows(part: Part, p) -> None:
  """Brows; their inner end, middle and outer end move apart."""
  part = part.rows(BROW - 0.3, BROW + 0.3)
  inner = 0.13 - 0.055 * p['AU4']
  length = 0.46 - 0.02 * p['AU4']
  t = (part.a - inner) * (1 / length)
  # Heights of the inner end, the middle and the outer end: a quadratic curve.
  first = -0.15 * p['AU1'] + 0.13 * p['AU4'] + 0.05 * p['AU9'] - 0.02
  last = -0.14 * p['AU2'] + 0.04 * p['AU4'] + 0.03
  middle = -0.06 * p['AU1'] - 0.09 * p['AU2'] + 0.07 * p['AU4']
  middle = middle - 2 * p['brow_arch']
  rest = BROW - p['brow_height'] + first
  curve = (first + last - 2 * middle) * t + 2 * (middle - first)
  off = np.abs(part.v - rest - curve * t)
  thick = p['brow_thick'] * (1.15 - 0.6 * t)
  cap = cover((np.abs(t - 0.5) - 0.5) * length, p['soft'] * 1.5)
  mask = cover(off - thick, p['soft']) * cap
  paint(part.image, mask * np.float32(0.92), p['brow'])


def mouth(p):
  """Half width, corner height, gaps above and below, tightness."""
  tight = np.maximum(p['AU23'], p['AU24'])
  wide = 1 + 0.25 * p['AU12'] + 0.3 * p['AU20'] + 0.05 * p['AU15']
  width = p['mouth_width'] * (wide - 0.25 * p['AU23'] - 0.22 * p['AU26'])
  corner = 0.13 * p['AU12'] - 0.16 * p['AU15'] - 0.03 * p['AU20']
  above = 0.03 * p['AU25'] + 0.055 * p['AU10'] + 0.02 * p['AU26']
  below = 0.055 * p['AU25'] + 0.21 * p['AU26'] + 0.02 * p['AU10']
  below = below + 0.06 * p['AU12'] * p['AU25']
  gap = 4 * np.maximum(p['AU25'], p['AU26']) + p['AU10']
  gap = np.clip(gap, 0, 1) * (1 - 0.7 * p['AU24'])
  return width, corner + p['resting_smile'], above * gap, below * gap, tight


def paint_mouth(part: Part, p) -> None:
  """Lips and the opening between them, in the shape of `mouth`."""
  part = part.rows(MOUTH - 0.3, MOUTH + 0.5)
  image, soft = part.image, p['soft']
  width, corner, above, below, tight = mouth(p)
  x = (part.u - 0.03 * p['yaw']) * (1 / width)
  xx = x * x
  arch = 1 - xx
  v = part.v + corner * xx
  v -= MOUTH + 0.35 * corner - 0.02 * p['AU10']
  flat = arch * (1 + 0.6 * xx)  # the upper lip is less round than the lower
  full = p['lip_full'] * (1 - 0.6 * tight)
  lift, sag = above + 0.055 * full + 0.02 * p['AU10'], below + 0.075 * full
  paint(
    image,
    np.float32(0.85) * _between(v, lift * flat, sag * arch, soft),
    p['lips'],
  )
  # Nothing beyond the corners, where an empty gap would leave a line.
  gap, within = np.clip(40 * (above + below), 0, 1), ramp(4 * arch)
  hole = gap * within * _between(v, above * flat, below * arch, soft)
  paint(image, hole, p['inside'])
  hole *= cover(v + above * flat - 0.075, soft)
  paint(image, hole, p['teeth'])
  line = within * cover(np.abs(v) - 0.008 - 0.008 * tight, soft)
  paint(image, (0.75 - 0.7 * gap) * line, p['inside'])


def _between(v, above, below, soft):
  """Coverage of the area from `above` over the line v = 0 to `below` it."""
  return np.minimum(cover(-v - above, soft), cover(v - below, soft))
