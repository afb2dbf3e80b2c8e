"""What the paper says about more samples or members, and what this run shows."""

from collections.abc import Mapping
from typing import Any

from emojax.report.estimates import NO, UNCLEAR, YES, combine

Results = Mapping[str, Any]
METHODS = {
  'dropout': 'MC-Dropout',
  'dropconnect': 'MC-DropConnect',
  'ensemble': 'Deep ensemble',
}
NETWORKS = {
  'alexnet': 'AlexNet',
  'vgg16': 'VGG16',
  'vgg16_bn': 'VGG16-BN',
  'densenet121': 'DenseNet-121',
}
# Claim, the score it is about, whether it falls or rises, and the paper.
CLAIMS = (
  ('The error falls', 'error', -1, 'yes (Figure 1), by 2-4 points'),
  ('The negative log-likelihood falls', 'nll', -1, 'yes (Figure 2)'),
  (
    'The calibration error against labels rises',
    'ece',
    1,
    'yes (Figure 3), unlike on other data',
  ),
  (
    'The confidence falls',
    'confidence',
    -1,
    'yes: single networks are overconfident (section 4)',
  ),
  (
    'Predictions get closer to the votes (KL divergence)',
    'votes/kl',
    -1,
    'suggested (Figure 4), not measured',
  ),
  (
    "Entropies rank faces more like the votes' do",
    'votes/entropy_correlation',
    1,
    'not measured',
  ),
  (
    'The calibration error against the votes of every class falls',
    'votes/class_ece',
    -1,
    'asked for ("metrics ... need to be rethought")',
  ),
)
RULE = (
  'All claims are about the change from one sample or member to the most, mean '
  'over draws and networks. A change counts if its 95 % bootstrap interval '
  '(faces resampled, networks as they are) does not contain 0. A claim holds if '
  'it holds for every network and method.'
)


def verdict(change: Mapping[str, float] | None, sign: int) -> str:
  """Whether an interval lies on the side of `sign` of 0."""
  if change is None:
    return UNCLEAR
  low, high = sorted((sign * change['low'], sign * change['high']))
  if low > 0:
    return YES
  return NO if high < 0 else UNCLEAR


def all_findings(results: Results) -> list[tuple[str, str, str, str]]:
  """Rows (claim, paper, this run, verdict); those without a number are out."""
  rows = []
  for claim, score, sign, paper in CLAIMS:
    texts, verdicts = [], []
    for title, study in studies(results):
      change = study['change'].get(score)
      if change is not None and len(study['sizes']) > 1:
        verdicts.append(verdict(change, sign))
        texts.append(f'{title} {_text(change)}')
    if verdicts:
      rows.append((claim, paper, '; '.join(texts), combine(verdicts)))
  return rows


def studies(results: Results):
  """Yields (title, results) of all networks and methods."""
  for network, methods in results['studies'].items():
    for method, study in methods.items():
      yield f'{NETWORKS[network]}, {METHODS[method]}', study


def _text(change) -> str:
  return '{value:+.4f} [{low:+.4f}, {high:+.4f}]'.format(**change)
