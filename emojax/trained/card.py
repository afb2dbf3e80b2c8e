"""The README of an exported model, filled from its metadata and the run."""

import re
from collections.abc import Mapping
from typing import Any

from emojax.report.markdown import code, escape
from emojax.trained import front_matter, guarantees

TITLES = {
  'au/score': 'Action units: 0.5 F1 + 0.5 accuracy',
  'au/f1': 'Action units: F1',
  'au/nll': 'Action units: negative log-likelihood',
  'au/ece': 'Action units: expected calibration error',
  'expr/score': 'Expressions: 0.67 F1 + 0.33 accuracy',
  'expr/acc': 'Expressions: accuracy',
  'expr/f1': 'Expressions: macro F1',
  'expr/nll': 'Expressions: negative log-likelihood',
  'expr/ece': 'Expressions: expected calibration error',
  'va/ccc/valence': 'Valence: concordance correlation',
  'va/ccc/arousal': 'Arousal: concordance correlation',
  'va/rmse/valence': 'Valence: root mean square error',
  'va/rmse/arousal': 'Arousal: root mean square error',
}
LOAD = "emojax.load('.')  # this folder"
_LOADED = re.compile(r"^model = emojax\.load\('[^'\n]*'\).*$", re.MULTILINE)
SECTION = '## Temperatures and thresholds'
NUMBERS = '## How good it is'
DIVIDED = (
  '**Measured before the logits were divided by a temperature (below): accuracies are '
  'the same or nearly so, likelihoods, calibration errors and uncertainties are not.**'
)
TEMPLATE = """\
# {title}

{members} of a network {network} ({parameters:,} parameters each), generation
{generation} of a run of {paper}, trained
on **{trained_on}** with emojax {version}.

## Use

```python
import emojax

model = {load}
output = model.predict(images)  # faces, uint8 [N, H, W, 3] or [N, L, H, W, 3]
output.probabilities  # by task, the mean over the members
output.uncertainty  # total, aleatoric and epistemic, by task and in the mean
model.answers(output)  # decisions by the thresholds below
{unsure}
```

## What it predicts

{labels}

## What it expects

Cropped faces as in the training data, {size} x {size}, {colours} (other sizes are
resized), clips of consecutive frames (trained on {length}){audio}.

{good}

{numbers}

{section}

{calibration}

## Limits

- The numbers above hold for the data that they name; faces, cameras, people and cultures
  that are not in these data may be recognised worse, and the model may be
  sure of wrong answers. Measure it on your own data:
  `python -m emojax.evaluate`.
- Expressions are what annotators saw in a face, not what a person feels. Do not
  use them for decisions about people.
- The licence of the training data may restrict what may be done with the
  weights.

## Origin

{origin}
"""


UNSURE = 'model.unsure(output, 0.1)  # frames to reject'
BEFORE = (
  'what other sections say of sets, temperatures and thresholds was measured '
  'with those that the model had before, and does not hold for these'
)
NO_UNSURE = """\
# model.unsure(output) needs thresholds, which this model has not: it was exported
# without validation data. Compare output.uncertainty with limits of your own."""


def render(
  metadata: Mapping[str, Any],
  results: Mapping[str, Any] | None,
  size: int,
  numbers: str | None = None,
  load: str = LOAD,
  measured: front_matter.Measured | None = None,
  license: Mapping[str, str] | None = None,
) -> str:
  """The card as Markdown.

  Args:
    metadata: model.json.
    results: results.json of the run; None if it was not finished.
    size: Numbers in all arrays of all members.
    numbers: How good the model is, instead of what the results say.
    load: The call that loads it.
    measured: The same numbers for the head of the card.
    license: Of the weights, for the head; see `front_matter.render`.
  """
  count = len(metadata['members'])
  data = metadata['preprocessing']
  if measured is None and numbers is None:
    measured = _measured(metadata, results)
  head = front_matter.render(metadata, measured, license)
  return head + TEMPLATE.format(
    title=escape(
      f'{metadata["model"]["name"]}, {metadata["generation"]}, on '
      f'{metadata["trained_on"]}'
    ),
    members='One member' if count == 1 else f'An ensemble of {count} members',
    network=code(metadata['model']['name']),
    parameters=size // count,
    generation=escape(metadata['generation']),
    trained_on=_data(metadata),
    version=escape(
      str(metadata['versions']['trained_with'].get('emojax', 'unknown'))
    ),
    paper=metadata['paper'],
    unsure=UNSURE if metadata['thresholds']['uncertainty'] else NO_UNSURE,
    labels=_labels(metadata),
    size=data['image_size'],
    colours=escape(data['colours']),
    length=data['clip_length'],
    audio=f', with sound: {escape(data["audio"])}' if data['audio'] else '',
    numbers=_numbers(metadata, results) if numbers is None else numbers,
    load=load,
    good=NUMBERS,
    section=SECTION,
    calibration=_calibration(metadata),
    origin=_origin(metadata),
  )


def _data(metadata) -> str:
  name = metadata['trained_on']
  if name == 'embedded':
    return 'the embedded data set of emojax (procedural faces)'
  return escape(name)


def _labels(metadata) -> str:
  kinds = {
    'binary': 'each present or not',
    'categorical': 'one of',
    'binned': 'values in [-1, 1]',
  }
  return '\n'.join(
    f'- {code(task["name"])}, {kinds[task["kind"]]}: '
    + escape(', '.join(task['labels']))
    for task in metadata['schema']
  )


_SHOWN = ('single_mean', 'single_std', 'ensemble', 'ood')


def _scores(metadata, results) -> dict[str, Any] | None:
  """What the run says of the generation: of what `predict` says, if it can."""
  name = metadata['generation']
  if results is None or name not in results.get('generations', ()):
    return None
  found = dict(results['generations'][name])
  corrected = found.get('pc') if metadata.get('prior') else None
  if corrected:
    scores = {'single_mean': 'mean', 'single_std': 'std'}
    found |= {key: corrected[scores.get(key, key)] for key in _SHOWN}
  return found | {'is_corrected': bool(corrected)}


def _measured(metadata, results) -> front_matter.Measured | None:
  """The ensemble's scores; None where the folder has not all members of it."""
  found = _scores(metadata, results)
  if found is None or results is None:
    return None
  if len(metadata['members']) < found['num_members']:
    return None  # the scores are of more than is here
  if metadata.get('prior') and not found['is_corrected']:
    return None  # this model says something else
  ensemble = found['ensemble']
  scores = [
    front_matter.Score(key, title, ensemble[key])
    for key, title in TITLES.items()
    if ensemble.get(key) is not None
  ]
  return front_matter.Measured(results['dataset'], results['split'], scores)


def _numbers(metadata, results) -> str:
  """A table of the generation's scores, or why there is none."""
  name = metadata['generation']
  if results is not None and 'generations' not in results:
    return 'The report in the folder of the run has its scores.'
  found = _scores(metadata, results)
  if found is None or results is None:
    return 'The run was not finished when this was exported: no results yet.'
  members = found['num_members']
  head = (
    f'{name} on the {results["split"]} set of {results["dataset"]} '
    f'({results["num_frames"]:,} frames); all {members} members of the run'
  )
  if len(metadata['members']) < members:
    numbers = ', '.join(map(str, metadata['members']))
    head += f', of which this folder has {numbers}'
  if found['is_corrected']:
    head += '; with prior correction'
  elif metadata.get('prior'):
    head += '; without the prior correction of this model'
  lines = [
    escape(f'{head}.'),
    '',
    '| | single (mean ± std) | ensemble |',
    '|---|---:|---:|',
  ]
  for key, title in TITLES.items():
    single = found['single_mean'].get(key)
    if single is not None and found['ensemble'].get(key) is not None:
      spread = found['single_std'].get(key)
      spread = f' ± {spread:.3f}' if spread is not None else ''
      ensemble = found['ensemble'][key]
      lines.append(f'| {title} | {single:.3f}{spread} | {ensemble:.3f} |')
  for kind, aucs in found['ood'].items():
    title = escape(f'AUROC against "{kind}" (epistemic)')
    lines.append(f'| {title} | – | {aucs["ensemble/epistemic"]:.3f} |')
  return '\n'.join(lines)


def _calibration(metadata) -> str:
  lines = [f'- {escape(note)}' for note in metadata['notes']]
  where = guarantees.fitted_on(metadata)
  of = 'so many validation frames lie'
  if where != guarantees.fitted_on({}):
    of = f'so many frames of {where} lie'
  pooled = metadata.get('pooled', {})
  for task, said in pooled.items():
    by = said['by'] if isinstance(said['by'], list) else [said['by']]
    text = ' to '.join(f'{x:.3f}' for x in sorted({min(by), max(by)}))
    lines.append(
      f'- {code(task)}: logits are divided by {text}, in the weights: the '
      f'temperature of the mean of the {len(metadata["members"])} members, fitted '
      f'on {escape(", then on ".join(said["on"]))}'
    )
  for task, values in metadata.get('prior', {}).items():
    low, high = min(values.values()), max(values.values())
    divided = ', divided like them' if task in pooled else ''
    lines.append(
      f'- {code(task)}: classes were weighted in training, which biases '
      f'probabilities; `predict` subtracts the log weights ({low:.3g} to '
      f'{high:.3g}{divided}) from the logits, so that classes are as frequent as in '
      'the training data'
    )
  for task, values in (metadata['temperatures'] or {}).items():
    if values is not None:
      flat = [x for v in values for x in (v if isinstance(v, list) else [v])]
      lines.append(
        f'- {code(task)}: temperatures from {min(flat):.3g} to {max(flat):.3g}, '
        f'fitted on {where} (`predict(..., temperature=True)`)'
      )
  for task, values in metadata['thresholds'].get('prevalence', {}).items():
    text = ', '.join(f'{escape(k)} {v:.1%}' for k, v in values.items())
    lines.append(
      f"- {code(task)}: shares of the classes in the model's own validation set: "
      f'{text}; '
      '`model.answers(output, favour_rare=0.5)` answers rare ones more often'
    )
  limits = metadata['thresholds']['uncertainty'].get('mean', {})
  for kind, shares in limits.items():
    text = ', '.join(f'{v:.3f} ({float(k):.0%})' for k, v in shares.items())
    lines.append(f'- {kind} uncertainty above which {of}: {text}')
  lines += guarantees.card_lines(metadata)
  if metadata['thresholds']['decision']:
    lines.append('- an action unit is present above a probability of 0.5')
  return '\n'.join(lines)


def recalibrated(
  text: str, metadata: Mapping[str, Any], pooled: bool = False
) -> str:
  """A card with the section on temperatures and thresholds made anew.

  It loads the folder that it lies in: a name in its place is the model from before.
  What people have written elsewhere stays.

  Args:
    text: A card of `render`, which may have been edited.
    metadata: model.json as it is now.
    pooled: Whether its probabilities are others than those of the card.
  """
  if pooled:
    text = front_matter.without_scores(text)
    if DIVIDED not in text:
      text = text.replace(f'{NUMBERS}\n', f'{NUMBERS}\n\n{DIVIDED}\n')
  made = f'{SECTION}\n\n{_calibration(metadata)}\n'
  if guarantees.fitted_on(metadata) != guarantees.fitted_on({}):
    made += f'- {BEFORE}\n'
  text = text.replace(NO_UNSURE, UNSURE)
  text = _LOADED.sub(f'model = {LOAD}', text, count=1)
  before, heading, rest = text.partition(f'{SECTION}\n')
  if not heading:
    return f'{text.rstrip()}\n\n{made}'
  _, following, after = rest.partition('\n## ')
  return f'{before}{made}{following}{after}'


def _origin(metadata) -> str:
  environment = metadata['versions']['trained_with']
  config = metadata['config']
  rows = {
    'Revision': environment.get('revision', 'unknown'),
    'JAX, Flax': f'{environment.get("jax")}, {environment.get("flax")}',
    'Device': environment.get('device_kind', 'unknown'),
    'Seed': config.get('seed'),
    'Members of the run': config['ensemble']['size'],
    'Epochs': config['train'].get('epochs'),
    'Generations of students': config.get('generations'),
  }
  lines = [
    f'- {name}: {escape(str(value))}'
    for name, value in rows.items()
    if value is not None
  ]
  return '\n'.join([*lines, '- Everything else: `config` in `model.json`.'])
