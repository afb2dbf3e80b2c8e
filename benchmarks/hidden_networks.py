"""What networks win by memory and by voices where frames are hidden.

  python -m benchmarks.hidden_networks runs/hidden

reads four finished runs of configs/gen.py on embedded clips with hidden frames, that
differ in memory (`model.head`) and sound alone: RUNS/clips-v-frames, clips-v-gru,
clips-va-frames and clips-va-gru. Prints, in Markdown, each one's expected NLL on the
hidden and on the visible frames of its test clips, and its scores, as means over the
members of single networks; and the differences, paired by member: members of equal
number have the same seed and see the same clips in the same order. `--figure` draws
the curves of their training. `--stages` draws those of papers 001 and 002 instead,
RUNS/incomplete and RUNS/shared.
"""

import argparse
import io
import json
import pathlib
import sys

import matplotlib.pyplot as plt
import numpy as np

from benchmarks import tables
from benchmarks.hidden_frames import FRAME_RATE
from benchmarks.seeds import estimate, two_sided
from emojax import tasks
from emojax.data.embedded import hidden, parameters
from emojax.evaluation import Predictions
from emojax.host import files
from emojax.metrics import calibration
from emojax.report import verdicts
from emojax.report.estimates import Estimate
from emojax.uncertainty import decomposition

NAMES = {
  'clips-v-frames': 'single silent frames',
  'clips-v-gru': 'with memory',
  'clips-va-frames': 'single frames and voices',
  'clips-va-gru': 'with memory and voices',
}
MAY_DIFFER = {'model.head', 'model.name', 'data.audio', 'data.voice'}
# What is compared: memory without and with a voice, a voice without and with memory.
PAIRS = (
  ('memory, silent', 'clips-v-gru', 'clips-v-frames'),
  ('memory, with voices', 'clips-va-gru', 'clips-va-frames'),
  ('voices, single frames', 'clips-va-frames', 'clips-v-frames'),
  ('voices, with memory', 'clips-va-gru', 'clips-v-gru'),
)
LOWER = ('AU NLL, hidden', 'AU NLL, seen', 'EXPR NLL, hidden', 'EXPR NLL, seen')
HIGHER = {
  'au/score': 'AU score',
  'expr/score': 'EXPR score',
  'va/ccc/valence': 'Valence CCC',
  'va/ccc/arousal': 'Arousal CCC',
}
ROWS = (*LOWER, *HIGHER.values())
CURVES = {
  'val/nll': 'validation NLL',
  'val/expr/f1': 'EXPR F1',
  'val/va/score': 'CCC of valence + of arousal',
}
STYLES = (('C7', '-'), ('C0', '-'), ('C1', '--'), ('C3', '--'))  # as `NAMES`


def read(folder: pathlib.Path):
  """Settings and results of a finished run.

  Raises:
    ValueError: If a file cannot be read, or the run is not of this kind.
  """
  found = []
  for name in ('config.json', 'results.json'):
    try:
      found.append(json.loads((folder / name).read_text()))
    except (OSError, ValueError) as error:
      raise ValueError(
        f'{folder / name} cannot be read ({error}): run it first'
      ) from error
  config = found[0]['config']
  if config['data']['name'] != 'embedded' or not config['data'].get('hidden'):
    raise ValueError(f'{folder} has no hidden frames: set data.hidden')
  return config, found[1]


def flat(config, prefix: str = '') -> dict[str, object]:
  """Settings by their dotted names."""
  found = {}
  for key, value in config.items():
    inner = isinstance(value, dict)
    found |= flat(value, f'{prefix}{key}.') if inner else {prefix + key: value}
  return found


def check_comparable(configs: dict[str, dict]):
  """ValueError if the runs differ in more than memory and sound."""
  first, *others = (flat(config) for config in configs.values())
  for other in others:
    differ = {k for k in first if other.get(k) != first[k]} - MAY_DIFFER
    if differ:
      raise ValueError(
        f'runs differ in {", ".join(sorted(differ))}: train them alike'
      )


def known(config):
  """(what is hidden [N, L], task -> known posteriors) of the test clips."""
  data = config['data']
  params = parameters.sample_clip_parameters(
    data['seed'],
    data['test_clips'],
    data['eval_clip_length'] or data['clip_length'],
    split='test',
    frame_rate=FRAME_RATE,
  )
  return hidden.sample(params, data['hidden']).frames, parameters.posteriors(
    params
  )


def members(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """What is compared, [M] each."""
  config, results = read(folder)
  found = Predictions.load(folder / 'predictions' / 'Tea.npz')
  gaps, truth = known(config)
  rows: dict[str, np.ndarray] = {}
  for task in found.schema:
    if task.name not in ('au', 'expr'):
      continue
    logits = found.logits['test'][task.name]
    for place, frames in (('hidden', gaps), ('seen', ~gaps)):
      rows[f'{task.name.upper()} NLL, {place}'] = np.array(
        [_nll(task, one[frames], truth[task.name][frames]) for one in logits]
      )
  scores = results['generations']['Tea']['members']
  for key, name in HIGHER.items():
    rows[name] = np.array([one[key] for one in scores])
  return rows


def _nll(task: tasks.Task, logits, truth) -> float:
  """Expected over labels that are drawn from the posteriors `truth`."""
  probs = np.asarray(decomposition.probabilities(task, logits))
  if task.kind == 'binary':
    seen = np.ones(truth.shape)
    return float(calibration.binary_nll(probs, truth, seen).mean())
  return calibration.categorical_nll(probs, truth, np.ones(truth.shape[:-1]))


def levels(found: dict[str, dict[str, np.ndarray]]) -> tables.Table:
  """What each run reaches."""
  rows = [
    [
      NAMES[name],
      *(estimate(list(one[row])).signed().lstrip('+') for row in ROWS),
    ]
    for name, one in found.items()
  ]
  return tables.Table('Single networks', ['', *ROWS], rows)


def differences(found: dict[str, dict[str, np.ndarray]]) -> tables.Table:
  """What memory and voices change, bold where it is beyond chance."""
  made = {
    title: [estimate(list(found[one][row] - found[other][row])) for row in ROWS]
    for title, one, other in PAIRS
  }
  every = [gap for row in made.values() for gap in row]
  adjusted = iter(verdicts.holm([two_sided(gap) for gap in every]))

  def text(gap: Estimate) -> str:
    bold = '**' if next(adjusted) <= verdicts.LEVEL else ''
    return f'{bold}{gap.signed()}{bold}'

  rows = [[title, *map(text, row)] for title, row in made.items()]
  note = (
    'NLL: below 0 is better; scores: above 0. Bold: differs from 0 at the level '
    f"{verdicts.LEVEL} after Holm's adjustment over the {len(every)} differences"
  )
  title = 'What memory and voices change, paired by seed'
  return tables.Table(title, ['', *ROWS], rows, [note])


def stages(runs: pathlib.Path) -> bytes:
  """PNG of the validation totals of two-stage runs: mean and range of members."""
  names = {'incomplete': 'paper 001', 'shared': 'paper 002'}
  figure, axes = plt.subplots(1, len(names), figsize=(9, 3.4))
  for ax, (folder, title) in zip(axes, names.items(), strict=True):
    text = (runs / folder / 'metrics.jsonl').read_text()
    rows = [json.loads(one) for one in text.splitlines()]
    for name in dict.fromkeys(row['generation'] for row in rows):
      found: dict[int, list[float]] = {}
      for row in rows:
        if row['generation'] == name:
          found.setdefault(row['epoch'] + 1, []).append(row['val/total'])
      x, y = list(found), list(found.values())
      (line,) = ax.plot(x, [np.mean(one) for one in y], label=name)
      low, high = ([f(one) for one in y] for f in (min, max))
      ax.fill_between(x, low, high, color=line.get_color(), alpha=0.12, lw=0)
    ax.set_title(f'{title}: validation total', fontsize=10)
    ax.set_xlabel('epoch')
    ax.spines[['top', 'right']].set_visible(False)
    ax.legend(fontsize=7, frameon=False, ncols=2)
  return _png(figure)


def curves(runs: pathlib.Path) -> bytes:
  """PNG of the validation scores by epoch: mean and range of the members."""
  figure, axes = plt.subplots(1, len(CURVES), figsize=(9, 3))
  for name, (colour, line) in zip(NAMES, STYLES, strict=True):
    text = (runs / name / 'metrics.jsonl').read_text()
    rows = [json.loads(one) for one in text.splitlines()]
    epochs = sorted({row['epoch'] for row in rows})
    for ax, (key, title) in zip(axes, CURVES.items(), strict=True):
      y = np.array([[r[key] for r in rows if r['epoch'] == e] for e in epochs])
      x = np.array(epochs) + 1
      ax.plot(x, y.mean(1), color=colour, ls=line, label=NAMES[name])
      ax.fill_between(x, y.min(1), y.max(1), color=colour, alpha=0.15, lw=0)
      ax.set_title(title, fontsize=10)
      ax.set_xlabel('epoch')
      ax.spines[['top', 'right']].set_visible(False)
  axes[0].legend(fontsize=7, frameon=False)
  return _png(figure)


def _png(figure) -> bytes:
  figure.tight_layout()
  made = io.BytesIO()
  figure.savefig(made, dpi=110)
  plt.close(figure)
  return made.getvalue()


def main():
  """Prints the tables."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('runs', type=pathlib.Path, help='folder of the runs')
  parser.add_argument('--figure', type=pathlib.Path, help='a PNG of the curves')
  parser.add_argument(
    '--stages', type=pathlib.Path, help='a PNG of papers 001 and 002, alone'
  )
  args = parser.parse_args()
  if args.stages:
    files.write_bytes(args.stages, stages(args.runs))
    return
  try:
    check_comparable({name: read(args.runs / name)[0] for name in NAMES})
    found = {name: members(args.runs / name) for name in NAMES}
  except ValueError as error:
    sys.exit(str(error))
  for table in (levels(found), differences(found)):
    print(table.markdown() + '\n')
  if args.figure:
    files.write_bytes(args.figure, curves(args.runs))


if __name__ == '__main__':
  main()
