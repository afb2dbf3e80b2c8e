"""Anti-aliased painting of soft shapes on batches of images.

A batch of images is float32 [3, F, H, W]; coordinates, masks and signed
distances (negative inside) are [F, H, W], parameters [F, 1, 1], colours
[3, F, 1, 1]. Only elementwise operations with exact rounding are used, so that
a frame comes out the same whichever frames it is painted with, and every mask
is exactly 0 outside its shape, so that rows without the shape can be left out.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Part:
  """Some rows of a batch of images and their face coordinates.

  Attributes:
    image: [..., F, h, W], painted in place: colours or one plane of them.
    u, v: [F, h, W], to the right and downwards.
    a: |u|.
  """

  image: np.ndarray
  u: np.ndarray
  v: np.ndarray
  a: np.ndarray

  def rows(self, low: float, high: float) -> 'Part':
    """The rows in which some frame has a `v` between `low` and `high`."""
    # v is affine in the pixel position: its extremes are at the borders.
    left, right = self.v[:, :, 0], self.v[:, :, -1]
    inside = np.maximum(left, right) >= low
    inside &= np.minimum(left, right) <= high
    found = np.flatnonzero(inside.any(0))
    keep = slice(found[0], found[-1] + 1) if found.size else slice(0, 0)
    return Part(
      self.image[..., keep, :],
      self.u[:, keep],
      self.v[:, keep],
      self.a[:, keep],
    )


def ramp(x):
  """Clips to [0, 1], in place."""
  np.maximum(x, 0, out=x)
  return np.minimum(x, 1, out=x)


def cover(distance, soft):
  """How much of each pixel a shape covers: a ramp of width `soft`."""
  alpha = distance * (-1 / soft)
  alpha += 0.5
  return ramp(alpha)


def paint(image, mask, color) -> None:
  """Paints `color` [3, F, 1, 1] over `image` where `mask` is 1, in place."""
  for plane, value in zip(image, color):
    step = value - plane
    step *= mask
    plane += step


def ellipse(u, v, radius_u, radius_v):
  """Approximate signed distance to an ellipse around the origin."""
  r = np.sqrt(_square(u, radius_u, v, radius_v))
  r -= 1
  r *= np.minimum(radius_u, radius_v)
  return r


def bump(u, v, radius_u, radius_v):
  """A smooth blob, 1 at the origin and 0 outside the ellipse."""
  r = _square(u, radius_u, v, radius_v)
  np.subtract(1, r, out=r)
  np.maximum(r, 0, out=r)
  r *= r
  return r


def _square(u, radius_u, v, radius_v):
  """(u / radius_u)^2 + (v / radius_v)^2 as a new array."""
  x = u * (1 / radius_u)
  x *= x
  y = v * (1 / radius_v)
  y *= y
  x += y
  return x


def segment(u, v, start, end):
  """Distance to the line segment between two points (pairs of [F, 1, 1])."""
  du, dv = end[0] - start[0], end[1] - start[1]
  u, v = u - start[0], v - start[1]
  norm = du * du + dv * dv
  t = u * (du / norm)
  t += v * (dv / norm)
  ramp(t)
  u -= t * du
  v -= t * dv
  u *= u
  v *= v
  u += v
  return np.sqrt(u, out=u)


def box(u, v, half_u, half_v):
  """Signed distance (exact near the edges) to a box around the origin."""
  return np.maximum(np.abs(u) - half_u, np.abs(v) - half_v)


def stripes(x, period: float, share: float):
  """Signed distance to stripes that fill `share` of every period."""
  wave = x * (1 / period)
  wave -= np.floor(wave)
  wave -= 0.5
  np.abs(wave, out=wave)
  wave -= 0.5 * share
  wave *= period
  return wave
