"""The true posteriors of the embedded data: what an annotator would answer.

Labels are drawn from these distributions, which depend on nothing but what is
visible in a frame: action intensities and how well each part of the face can
be seen. A predictor that recovers those from the pixels can do no better than
these probabilities; their entropy is the aleatoric uncertainty.
"""

import numpy as np

from emojax import tasks
from emojax.data.embedded import affect

# An AU is labelled when its intensity passes a threshold, as with FACS
# coders. The thresholds were set such that the label frequencies of
# imbalanced data are those of Aff-Wild2 (paper 000, appendix A).
AU_THRESHOLD = np.array(
  [0.67, 0.55, 0.37, 0.355, 0.275, 0.265, 0.355, 0.655, 0.37, 0.37, 0.32, 0.5]
)
AU_SLOPE = 14.0
AU_PREVALENCE = 1 / (
  1 + np.array([7.7, 15.7, 5.3, 2.9, 1.5, 1.9, 3, 32.3, 32.3, 32.3, 0.59, 11.5])
)
ANNOTATOR_NOISE = 0.04

EXPR_SLOPE = 9.0
NEUTRAL_POINT = 0.36
VA_WIDTH = (0.08, 0.25)

# Which of (brows, eyes, mouth) shows each channel.
REGION = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 1, 1, 2])

# Variance of each channel that has nothing to do with expressions: annotators
# make little of an open mouth and much of a wrinkled nose.
_NUISANCE = np.array(
  [0.04, 0.05, 0.06, 0.06, 0.15, 0.15, 0.05, 0.03, 0.05, 0.05, 0.4, 0.15]
  + [0.03, 0.03, 0.03]
)


def _unmixing_matrix() -> np.ndarray:
  """Weighted least squares: expression strengths from channels, [15, 6]."""
  shapes = affect.PROTOTYPES[1:]
  weighted = shapes / _NUISANCE
  return np.linalg.solve(weighted @ shapes.T, weighted).T


_UNMIX = _unmixing_matrix()


def _contract(channels, matrix):
  # A sum over the last axis rounds the same for any number of frames.
  return (channels[..., None, :] * matrix.T).sum(-1)


def au_posterior(au, visible):
  """P(AU = 1), [..., 12].

  Args:
    au: [..., 12] intensities in [0, 1].
    visible: [..., 12] how well the region of each AU is seen, in [0, 1]; the
      answer for a hidden region is the AU's prevalence.
  """
  seen = 1 / (1 + np.exp(-AU_SLOPE * (au - AU_THRESHOLD)))
  trust = visible * (1 - ANNOTATOR_NOISE)
  return trust * seen + (1 - trust) * AU_PREVALENCE


def expression_strengths(channels):
  """Evidence for the six expressions other than neutral, [..., 6]."""
  return _contract(channels, _UNMIX)


def expr_posterior(strengths, clarity=1.0):
  """P(expression), [..., 7], in the order of tasks.AFFWILD2."""
  total = np.maximum(strengths, 0).sum(-1, keepdims=True)
  neutral = 2 * NEUTRAL_POINT - total
  logits = EXPR_SLOPE * clarity * np.concatenate([neutral, strengths], -1)
  odds = np.exp(logits - logits.max(-1, keepdims=True))
  return odds / odds.sum(-1, keepdims=True)


def entropy(p, axis: int = -1):
  """Entropy in bits, relative to that of the uniform distribution."""
  bits = -(p * np.log2(np.maximum(p, 1e-12))).sum(axis)
  return bits / np.log2(p.shape[axis])


def affect_mean(strengths):
  """Centres of the valence and arousal posteriors, [..., 2] in (-1, 1)."""
  return np.tanh(_contract(np.maximum(strengths, 0), affect.AFFECT_SPACE[1:]))


def va_posterior(strengths, expr):
  """P(bin) of valence and arousal, [..., 2, 20].

  A discretised normal distribution, wide where the expression is ambiguous.
  """
  mean = affect_mean(strengths)
  width = VA_WIDTH[0] + VA_WIDTH[1] * entropy(expr)[..., None, None]
  z = (tasks.bin_values().astype(float) - mean[..., None]) / width
  odds = np.exp(-0.5 * z**2)
  return odds / odds.sum(-1, keepdims=True)


def posteriors(channels, visible, clarity) -> dict[str, np.ndarray]:
  """All posteriors of frames.

  Args:
    channels: [..., channels] intensities in [0, 1], as rendered.
    visible: [..., 3] how much of brows, eyes and mouth is seen, in [0, 1].
    clarity: [...] sharpness of the picture in [0, 1]; scales the evidence.

  Returns:
    float32 'au' [..., 12], 'expr' [..., 7] and 'va' [..., 2, 20].
  """
  seen = visible[..., REGION]
  au = au_posterior(channels[..., :12], seen[..., :12] * clarity[..., None])
  strengths = expression_strengths(channels * seen)
  expr = expr_posterior(strengths, clarity[..., None])
  va = va_posterior(strengths, expr)
  truth = {'au': au, 'expr': expr, 'va': va}
  return {name: p.astype(np.float32) for name, p in truth.items()}


def draw(truth, rng) -> tasks.Targets:
  """Draws one label per frame and task, independently, nothing masked.

  Args:
    truth: As `posteriors` returns it.
    rng: np.random.Generator.

  Returns:
    Hard targets: AUs 0 or 1, one-hot expressions, valence and arousal at the
    value of the bin that was drawn.
  """
  au = (rng.random(truth['au'].shape) < truth['au']).astype(np.float32)
  expr = _draw_class(rng, truth['expr'])
  one_hot = np.eye(truth['expr'].shape[-1], dtype=np.float32)[expr]
  va = tasks.bin_values()[_draw_class(rng, truth['va'])]
  return {
    'au': tasks.Target(au, np.ones_like(au)),
    'expr': tasks.Target(one_hot, np.ones(expr.shape, np.float32)),
    'va': tasks.Target(va, np.ones_like(va)),
  }


def _draw_class(rng, p) -> np.ndarray:
  cumulative = np.cumsum(p.astype(float), -1)
  u = rng.random(p.shape[:-1])[..., None] * cumulative[..., -1:]
  return (u >= cumulative).sum(-1)
