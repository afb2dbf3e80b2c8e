"""Two thresholds instead of one: answer, give the set, or reject.

Doubt has two sources, and they call for different acts. Where networks agree that
a face is ambiguous (aleatoric), people disagree about it, too: the honest answer is
the set of what it may be. Where networks disagree (epistemic), they have not seen
such an image: what they say is worth little, whatever it is. One threshold on their
sum rejects ambiguous faces with foreign images.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

ANSWER, SET, REJECT = 'answer', 'set', 'reject'
ROUTES = (ANSWER, SET, REJECT)


class Thresholds(NamedTuple):
  """From where on a frame is no plain answer.

  Attributes:
    aleatoric: Above it the set is the answer.
    epistemic: Above it nothing is.
  """

  aleatoric: float
  epistemic: float


def route(
  aleatoric: ArrayLike, epistemic: ArrayLike, thresholds: Thresholds
) -> np.ndarray:
  """What to do with each frame.

  Args:
    aleatoric: Aleatoric (or total) uncertainty, [...].
    epistemic: Epistemic uncertainty, [...].
    thresholds: Of `fit`, or one's own.

  Returns:
    'answer', 'set' or 'reject', [...]. 'reject' where an uncertainty is NaN: the
    network has no finite output.
  """
  aleatoric, epistemic = np.asarray(aleatoric), np.asarray(epistemic)
  if aleatoric.shape != epistemic.shape:
    raise ValueError(
      f'route: shapes {aleatoric.shape} and {epistemic.shape} must be equal'
    )
  kept = (epistemic <= thresholds.epistemic) & ~np.isnan(aleatoric)
  sure = aleatoric <= thresholds.aleatoric
  return np.where(kept, np.where(sure, ANSWER, SET), REJECT)


def fit(
  aleatoric: ArrayLike,
  epistemic: ArrayLike,
  reject: float = 0.05,
  sets: float = 0.2,
) -> Thresholds:
  """Thresholds by a budget on frames that are known to be of the domain.

  Each is a quantile of all frames, whatever the other one does, so that at most
  `reject` are rejected and at most `sets` are sets.

  Args:
    aleatoric: [n], of validation frames.
    epistemic: [n].
    reject: Share of the frames that may be rejected, in [0, 1).
    sets: Share of the frames for which a set may be given, in [0, 1).

  Raises:
    ValueError: If a share is out of range, there are no frames, or an uncertainty
      is not finite.
  """
  for name, share in (('reject', reject), ('sets', sets)):
    if not 0 <= share < 1:
      raise ValueError(f'{name} {share}: expected a share within [0, 1)')
  found = []
  for values, share in ((aleatoric, sets), (epistemic, reject)):
    values = np.asarray(values)
    if not values.size or not np.isfinite(values).all():
      raise ValueError('routing.fit: expected finite uncertainties of frames')
    # A value that was seen: no more frames lie above it than the budget has.
    found.append(float(np.quantile(values, 1 - share, method='inverted_cdf')))
  return Thresholds(*found)
