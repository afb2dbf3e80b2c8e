"""Anti-aliased painting of soft shapes on batches of images.

An image is float32 [F, 3, H, W]; masks and signed distances (negative inside)
are [F, H, W]; parameters of a shape are [F, 1, 1]. Nothing but elementwise
operations with exact rounding, so that a frame comes out the same whatever
frames it is painted with.
"""

import numpy as np


def cover(distance, soft):
  """How much of each pixel a shape covers: a ramp of width `soft`."""
  return np.clip(0.5 - distance / soft, 0, 1)


def paint(image, mask, color) -> None:
  """Paints `color` [F, 3, 1, 1] over `image` where `mask` is 1, in place."""
  image += mask[:, None] * (color - image)


def ellipse(u, v, radius_u, radius_v):
  """Approximate signed distance to an ellipse around the origin."""
  r = np.sqrt((u / radius_u) ** 2 + (v / radius_v) ** 2)
  return (r - 1) * np.minimum(radius_u, radius_v)


def bump(u, v, radius_u, radius_v):
  """A smooth blob, 1 at the origin and 0 outside the ellipse."""
  r = np.clip(1 - (u / radius_u) ** 2 - (v / radius_v) ** 2, 0, 1)
  return r * r


def segment(u, v, start, end):
  """Distance to the line segment between two points (pairs of [F, 1, 1])."""
  du, dv = end[0] - start[0], end[1] - start[1]
  t = ((u - start[0]) * du + (v - start[1]) * dv) / (du * du + dv * dv)
  t = np.clip(t, 0, 1)
  return np.sqrt((u - start[0] - t * du) ** 2 + (v - start[1] - t * dv) ** 2)


def box(u, v, half_u, half_v):
  """Signed distance (exact near the edges) to a box around the origin."""
  return np.maximum(np.abs(u) - half_u, np.abs(v) - half_v)
