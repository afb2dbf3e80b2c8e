"""What one network knows of its teachers' ensemble, and what it costs.

  python -m benchmarks.one_network RUN ... --out docs/results/one-network.md \
    --figure docs/results/figures/one-network/frontier.png

reads finished runs of configs/gen.py or configs/ferplus.py, of one setting but for
seeds and students (`distill`), and writes a row for each way to answer: a teacher,
all teachers, and one student by each method. Cells are means over the networks of all
runs; `seeds` are the runs that a row has. Costs are counted and measured from the
configuration alone (`--no-time` leaves out what a machine must be quiet for). Between
the markers of the page everything is written anew.
"""

import argparse
import dataclasses
import io
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.console
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from benchmarks import tables
from benchmarks.one_network_cost import Way, cost
from emojax import tasks
from emojax.engine.optimisation import NEUTRAL
from emojax.experiments.distillation import one_network
from emojax.host import files
from emojax.report import style, validity
from emojax.settings import flatten, is_how

STUDENTS = 'Stu1'
TEACHER, TOGETHER = 'one teacher', 'all teachers'
PASSES = ' + dropout passes'
EMBEDDED = {
  'au/nll': 'AU excess NLL',
  'expr/nll': 'EXPR excess NLL',
  'au/kl': 'AU KL',
  'expr/kl': 'EXPR KL',
  'va/kl': 'VA KL',
  'au/spearman': 'AU Spearman',
  'expr/spearman': 'EXPR Spearman',
}
VOTES = {'kl': 'KL to the votes', 'spearman': 'Spearman'}
MARKERS = (*style.MARKERS, '<', '>')
Scores = dict[str, float | None]


class Found(NamedTuple):
  """A finished run.

  Attributes:
    config: Its configuration.
    results: results.json.
  """

  config: ConfigDict
  results: Mapping[str, Any]


def read(folder: pathlib.Path) -> Found:
  """Opens a finished run of distillation.

  Raises:
    ValueError: If it is none; names the file.
  """
  try:
    stored = json.loads((folder / 'config.json').read_text())['config']
    results = json.loads((folder / 'results.json').read_text())
    if stored['experiment'] != 'distillation' or 'names' not in results:
      raise ValueError('no run of distillation')
  except (KeyError, OSError, TypeError, ValueError) as error:
    raise ValueError(
      f'{folder} is no finished run ({type(error).__name__}: {error})'
    ) from error
  return Found(ConfigDict(stored), results)


def check(found: Sequence[Found]):
  """Raises ValueError unless runs differ in seeds and students alone."""
  first = _compared(found[0].config)
  for one in found[1:]:
    other = _compared(one.config)
    names = {k for k in first | other if first.get(k) != other.get(k)}
    if names:
      raise ValueError(
        f'the runs differ in {", ".join(sorted(names))}: their rows cannot be '
        'compared'
      )


FREE = (
  'seed', 'data.seed', 'data.path', 'distill.', 'generations', 'eval.',
)  # fmt: skip


def _compared(config: ConfigDict) -> dict[str, Any]:
  flat = NEUTRAL | flatten(config.to_dict())
  return {
    k: v for k, v in flat.items() if not (k.startswith(FREE) or is_how(k))
  }


def rows(found: Sequence[Found]) -> dict[Way, list[Scores]]:
  """Scores of every way to answer, one entry a run."""
  made: dict[Way, list[Scores]] = {}
  for one in found:
    for way, scores in _of_run(one):
      entries = made.setdefault(way, [])
      if scores not in entries:  # teachers of several runs are the same ones
        entries.append(scores)
  return made


def _of_run(run: Found):
  """(way, scores) of a run: its teachers, and its students if there are any."""
  teachers, many = run.results['names'][0], run.config.ensemble.size
  yield Way(TEACHER, '', 1, 0), _scores(run, teachers, 'single_mean', None)
  passes = _passes(run, teachers)
  if passes:
    scores = _scores(run, teachers, 'single_mean', 'mc/epistemic')
    yield Way(TEACHER + PASSES, '', 1, passes), scores
  scores = _scores(run, teachers, 'ensemble', 'ensemble/epistemic')
  yield Way(f'{TOGETHER} (T = {many})', '', many, 0), scores
  if STUDENTS not in run.results['names']:
    return
  kind, passes = one_network.from_config(run.config), _passes(run, STUDENTS)
  own = kind != one_network.MEAN
  if not own:
    scores = _scores(run, STUDENTS, 'single_mean', None)
    yield Way(kind, kind, 1, 0), scores
  if passes:
    scores = _scores(run, STUDENTS, 'single_mean', 'mc/epistemic')
    yield Way(kind if own else kind + PASSES, kind, 1, passes), scores


def _passes(run: Found, name: str) -> int:
  return (run.results['generations'][name].get('mc') or {}).get('passes', 0)


def _scores(run: Found, name: str, what: str, doubt: str | None) -> Scores:
  """Scores of a generation.

  Args:
    run: The run.
    name: The generation.
    what: 'single_mean' or 'ensemble'.
    doubt: Of `ood`, the epistemic uncertainty; None for networks without one.
  """
  own = run.results['generations'][name]
  votes = (run.results.get('votes') or {}).get('rows')
  if votes:
    row = votes[f'{name} {"ensemble" if what == "ensemble" else "single"}']
    row = row['mean']
    made = {'kl': row['vote/kl'], 'spearman': row['vote/spearman/total']}
  else:
    made = _known(run, own, what)
  kinds = own['ood']
  return made | {f'ood/{k}': kinds[k].get(doubt) for k in kinds}


def _known(run: Found, own: Mapping[str, Any], what: str) -> Scores:
  """Against known posteriors, after prior correction if networks need one."""
  best, pc = run.results['optimum']['metrics'], own.get('pc')
  truth = (pc or own)['truth'][what]
  metrics = own[what] if not pc else pc['mean' if 'mean' in what else what]
  made: Scores = {
    f'{task}/nll': metrics[f'{task}/nll'] - best[f'{task}/nll']
    for task in ('au', 'expr')
  }
  for task, values in truth.items():
    made |= {
      f'{task}/kl': values['kl'],
      f'{task}/spearman': values['spearman_total'],
    }
  return made


def table(made: Mapping[Way, list[Scores]], costs) -> tables.Table:
  """One row for each way to answer."""
  keys = list(dict.fromkeys(k for x in made.values() for one in x for k in one))
  named = EMBEDDED | VOTES
  columns = [
    '', 'seeds',
    *(named.get(k, f'OOD AUC, {k.removeprefix("ood/")}') for k in keys
      if k in named or k.startswith('ood/')),
    'multiply-adds', 'of all teachers', 'processor ms',
  ]  # fmt: skip
  keys = [k for k in keys if k in named or k.startswith('ood/')]
  whole = max(costs[way].macs for way in made if not way.kind)
  lines = []
  for way, entries in made.items():
    cells = [cell([one.get(k) for one in entries]) for k in keys]
    found = costs[way]
    ms = found.milliseconds
    lines.append(
      [
        way.name,
        str(len(entries)),
        *cells,
        f'{found.macs / 1e6:.2f} M',
        f'{found.macs / whole:.2f}',
        tables.MISSING if np.isnan(ms) else f'{ms:.2f}',
      ]
    )
  return tables.Table('Answers and their cost', columns, lines)


def cell(values: Sequence[float | None]) -> str:
  """Mean over the runs, and their standard deviation from two runs on."""
  if None in values:
    return tables.MISSING
  numbers = np.array(values, np.float64)
  text = f'{numbers.mean():.3f}'
  return text if len(numbers) < 2 else f'{text} ± {numbers.std(ddof=1):.3f}'


def unfinished(found: Sequence[Found]) -> list[str]:
  """Sentences about runs that test nothing."""
  notes = []
  for one in found:
    said = one.results.get('validity') or {}
    if names := validity.untaught(said):
      text = f'seed {one.config.seed}, {one_network.from_config(one.config)}: '
      notes.append(text + names)
  return list(dict.fromkeys(notes))


def figure(made: Mapping[Way, list[Scores]], costs):
  """Cost against how well foreign images are told, and against KL."""
  drawn = Figure(figsize=(9, 3.6), layout='constrained')
  axes = drawn.subplots(1, 2)
  panels = (
    ('ood/', 'OOD AUC of epistemic uncertainty, mean'),
    ('kl', 'KL from the truth, mean over tasks'),
  )
  for axis, (what, label) in zip(axes, panels, strict=True):
    for i, (way, entries) in enumerate(made.items()):
      values = [_mean(one, what) for one in entries]
      if None in values:
        continue
      axis.errorbar(
        costs[way].macs / 1e6, np.mean(values),
        np.std(values, ddof=1) if len(values) > 1 else None,
        marker=MARKERS[i % len(MARKERS)], color=f'C{i % 10}', capsize=3,
        linestyle='none', label=way.name,
      )  # fmt: skip
    axis.set(xlabel='multiply-adds of a frame, millions', ylabel=label)
  drawn.legend(
    *axes[1].get_legend_handles_labels(), loc='outside right upper', fontsize=8
  )
  return drawn


def _mean(scores: Scores, what: str) -> float | None:
  values = [
    v for k, v in scores.items()
    if (k.startswith(what) if what.endswith('/') else k.endswith(what))
  ]  # fmt: skip
  return None if not values or None in values else float(np.mean(values))


def main(argv: Sequence[str]):
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('runs', nargs='+', type=pathlib.Path)
  parser.add_argument('--out', type=pathlib.Path, help='a page with markers')
  parser.add_argument(
    '--section', default='', help='whose markers, where the page has several'
  )
  parser.add_argument('--figure', type=pathlib.Path, help='a PNG')
  parser.add_argument('--no-time', dest='time', action='store_false')
  args = parser.parse_args(argv)
  try:
    found = [read(path) for path in args.runs]
    check(found)
    if args.out:
      tables.check(args.out, args.section)
  except (OSError, ValueError) as error:
    parser.error(str(error))
  made = rows(found)
  schema = tasks.schema_from_json(found[0].results['schema'])
  costs = {w: cost(w, found[0].config, schema, args.time) for w in made}
  notes = [tables.environment(), *unfinished(found)]
  shown = dataclasses.replace(table(made, costs), notes=notes)
  shown.print(rich.console.Console(width=200))
  if args.figure:
    buffer = io.BytesIO()
    with style.use():
      figure(made, costs).savefig(buffer, format='png')
    files.write_bytes(args.figure, buffer.getvalue())
  if args.out:
    tables.fill(args.out, [shown], args.section)


if __name__ == '__main__':
  main(sys.argv[1:])
