"""What the paper says about more samples or members, and what this run shows."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from emojax.report import validity, verdicts
from emojax.report.estimates import Estimate, of_json
from emojax.report.verdicts import Claim, Finding

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


class Said(NamedTuple):
  """A claim of the paper about the change from one sample to many.

  Attributes:
    text: The claim.
    score: The score that it is about.
    sign: 1 if it rises, -1 if it falls.
    paper: The paper's numbers.
    identity: Whether it follows from Jensen's inequality: it holds for any
      distributions, of skilled networks or not.
    softer: Whether less sure predictions are enough for it, as those of one
      network at a higher temperature are.
  """

  text: str
  score: str
  sign: int
  paper: str
  identity: bool = False
  softer: bool = False


CLAIMS = (
  Said('The error falls', 'error', -1, 'yes (Figure 1), by 2-4 points'),
  Said(
    'The negative log-likelihood falls', 'nll', -1, 'yes (Figure 2)', True, True
  ),
  Said(
    'The calibration error against labels rises',
    'ece',
    1,
    'yes (Figure 3), unlike on other data',
  ),
  Said(
    'The confidence falls',
    'confidence',
    -1,
    'yes: single networks are overconfident (section 4)',
    True,
    True,
  ),
  Said(
    'Predictions get closer to the votes (KL divergence)',
    'votes/kl',
    -1,
    'suggested (Figure 4), not measured',
    True,
    True,
  ),
  Said(
    "Entropies rank faces more like the votes' do",
    'votes/entropy_correlation',
    1,
    'not measured',
  ),
  Said(
    'The calibration error against the votes of every class falls',
    'votes/class_ece',
    -1,
    'asked for ("metrics ... need to be rethought")',
    softer=True,
  ),
)
RULE = (
  'All claims are about the change from one sample or member to the most, mean '
  'over draws and networks, with 95 % confidence intervals over networks '
  '(jackknife) and faces (bootstrap). A claim holds if it holds for every network '
  'and method. NLL, confidence and divergence of a mean are lower than the mean '
  "of theirs whatever the members are (Jensen's inequality): such claims, and "
  'those for which less sure predictions are enough, are shown only if the most '
  'samples also differ so from one of the networks, without noise, at its best '
  'temperature (fitted on the other half of the faces). That network costs as '
  'much to train as the samples of its dropout; there is none of the cost of a '
  'whole ensemble. '
) + verdicts.RULE


def all_findings(results: Results) -> list[tuple[str, str, str, str]]:
  """Rows (claim, paper, this run, verdict); those without a number are out."""
  return [finding.row for finding in decided(results)]


def decided(results: Results) -> list[Finding]:
  """Verdicts on all claims that the run has a number for."""
  return verdicts.decide(claims(results))


def claims(results: Results) -> list[Claim]:
  """The paper's claims with this run's numbers."""
  made = (_claim(results, said) for said in CLAIMS)
  return [claim for claim in made if claim is not None]


def _claim(results: Results, said: Said) -> Claim | None:
  texts, differences, beyond, reasons = [], [], [], []
  for title, study in studies(results):
    change = study['change'].get(said.score)
    if change is None or len(study['sizes']) < 2:
      continue
    reason = _not_counted(study, results.get('validity') or {})
    text = f'{title} {_text(change)}'
    rival = study.get('rival', {}).get(said.score)
    if said.softer and rival is not None:
      text += f', against one at its best temperature {_text(rival)}'
    texts.append(f'{text} (not counted: {reason})' if reason else text)
    if reason:
      reasons.append(reason)
      continue
    # An identity is contradicted by nothing, but copies do not fulfil it.
    kind = beyond if said.identity else differences
    kind.append(of_json(change, said.sign))
    if said.softer:
      # What was never compared is not shown.
      found = (
        Estimate(None, None) if rival is None else of_json(rival, said.sign)
      )
      beyond.append(found)
  if not texts:
    return None
  return Claim(
    said.text,
    said.paper,
    '; '.join(texts),
    tuple(differences),
    tuple(beyond),
    said.identity,
    '' if differences or beyond else ', '.join(dict.fromkeys(reasons)),
  )


def _not_counted(study, found: Mapping[str, Any]) -> str:
  """Why a network's numbers test nothing; '' if they do."""
  error = study.get('deterministic', {}).get('error', study['mean']['error'][0])
  reason = validity.below(found.get('floor', 0), 1 - error)
  reason = reason or _apart(study, found.get('spread', 0))
  return reason or validity.untaught(
    found, lambda name: name == study.get('stack')
  )


def _apart(study, most: float) -> str:
  """Why networks of unequal skill test nothing; '' if they are equal enough.

  What averaging them gains is then a gain over the worse ones.
  """
  if not most:
    return ''
  std = study.get('networks', {}).get('std')
  if std is None:
    return 'no spread of single networks is known'
  if std <= most:
    return ''
  return (
    f'errors of single networks have a standard deviation of {std:.3f}, more than '
    f'{most:g}'
  )


def studies(results: Results):
  """Yields (title, results) of all networks and methods."""
  for network, methods in results['studies'].items():
    for method, study in methods.items():
      yield f'{NETWORKS[network]}, {METHODS[method]}', study


def _text(change) -> str:
  ends = change.get('low'), change.get('high')
  if None in ends:
    return f'{change["value"]:+.4f}'
  return '{value:+.4f} [{low:+.4f}, {high:+.4f}]'.format(**change)
