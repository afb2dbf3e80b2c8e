"""Which metric picks the method that is truly nearest? An audit with known posteriors.

  python -m benchmarks.audit runs/prior/plain-* runs/prior/corrected-* --out docs/results/audit.md

reads finished runs of configs/gen.py on embedded data, RUNS/KIND-SEED or RUNS/KIND,
every kind with the same seeds: what their networks said of the validation and test clips, whose
posteriors p* are made again from the data's seed. A method is a generation of networks,
single or as an ensemble, with or without a map that was fitted to the validation frames
(`audit_methods`). Of each, the true distance KL(p* || p) stands beside every metric that
labels allow (`audit_metrics`); how far the two order methods alike is said by rank
correlations within each seed, with Student's 95 % interval over the seeds; a single
seed has none. Between the markers of the page, or of one of its sections, everything is
written anew; what is around them is kept.
"""

import argparse
import json
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import rich.console

from benchmarks import audit_methods as reading
from benchmarks import audit_metrics as metrics
from benchmarks import audit_page as page
from benchmarks import tables
from emojax import tasks
from emojax.runtime import workdir
from emojax.uncertainty import prior

Json = dict[str, Any]
# Maps after which nothing is left of what class weights have added to logits.
UNBIASED = ('vector', 'Dirichlet', 'isotonic', 'PC', 'PC + TS')


def versions(task: tasks.Task, stack: reading.Stack, seed: reading.Seed):
  """Yields (name of the map, 'single' or 'ensemble', members, validation, test).

  Members are lists of the samples that are scored by themselves: each network, or
  all together.
  """
  for name, val, test, whole in reading.maps(task, stack, seed):
    everyone = [list(range(len(test)))]
    if not whole:
      yield name, 'single', [[m] for m in everyone[0]], val, test
    if whole or len(test) > 1:
      yield name, 'ensemble', everyone, val, test


def audit(seed: reading.Seed, task: tasks.Task) -> Json:
  """Everything about one task of one seed.

  Returns:
    `methods`: name -> `stack`, `map`, `many` ('single' or 'ensemble'), whether it
    is `unbiased` by class weights, `kl`, `labels` (metrics), if unbiased `truth`
    (against posteriors in place of labels), and `sets` (`coverages`) or None;
    means over members for single networks. `optimum`: metrics of the posteriors.
  """
  frames = seed.frames['test'][task.name]
  hard = metrics.hard(task, frames.target, seed.bin_values)
  found = {}
  for stack in seed.stacks:
    if task not in stack.schema:
      continue
    biased = task.name in stack.shift and prior.changes(stack.shift)
    for name, many, members, val, test in versions(task, stack, seed):
      near = not biased or name in UNBIASED
      rows = [_one(task, seed, val, test, m, hard, near) for m in members]
      found[f'{stack.name}, {name}, {many}'] = {
        'stack': stack.name,
        'map': name,
        'many': many,
        'unbiased': near,
        **_average(rows),
      }
  best = metrics.measure(task, frames.truth, hard)
  return {'methods': found, 'optimum': best}


def _one(
  task, seed: reading.Seed, val, test, members, hard, near: bool
) -> Json:
  fit, frames = (seed.frames[split][task.name] for split in reading.SPLITS)
  probs = test[members].mean(0)
  sets = None
  labels = metrics.measure(task, probs, hard)
  if val is not None:
    sets = metrics.coverages(
      task, val[members], test[members], fit, frames, seed.bin_values
    )
    labels[metrics.SIZE] = sets['0.9'][2]
  return {
    'kl': metrics.distance(task, probs, frames),
    'labels': labels,
    'truth': metrics.measure(task, probs, frames.truth) if near else None,
    'sets': sets,
  }


def _average(rows: Sequence[Any]) -> Any:
  """Mean over members of numbers in dictionaries and tuples of one shape."""
  first = rows[0]
  if first is None:
    return None
  if isinstance(first, dict):
    return {key: _average([row[key] for row in rows]) for key in first}
  if isinstance(first, tuple):
    return [_average(column) for column in zip(*rows, strict=True)]
  return float(np.mean(rows))


def audits(
  folders: Sequence[pathlib.Path], kept: pathlib.Path | None
) -> Iterator[tuple[int, dict[str, Json]]]:
  """(seed, task -> `audit`), one seed after the other.

  Args:
    folders: Of `reading.read`.
    kept: Where each seed is kept, and read if it is there.

  Raises:
    ValueError: As `reading.read`; if what is kept is of other runs.
  """
  for number, runs in reading.by_seed(folders).items():
    made_of = {kind: str(run.path) for kind, run in runs.items()}
    path = kept / f'{number}.json' if kept else None
    if path and path.exists():
      found = json.loads(path.read_text())
      if found['runs'] != made_of:
        raise ValueError(f'{path} is of other runs: give another --keep')
    else:
      seed = reading.read(runs)
      audited = {task.name: audit(seed, task) for task in seed.stacks[0].schema}
      found = {'runs': made_of, 'tasks': audited}
      if path:
        kept.mkdir(parents=True, exist_ok=True)
        workdir.write_json(path, found)
    yield number, found['tasks']


def by_task(found: Mapping[int, Mapping[str, Json]]) -> dict[str, page.Audits]:
  """Task -> seed -> audit.

  Raises:
    ValueError: If seeds have other methods.
  """
  first = next(iter(found.values()))
  made = {
    task: {seed: one.get(task) for seed, one in found.items()} for task in first
  }
  for task, audits_ in made.items():
    names = {tuple(one['methods']) if one else () for one in audits_.values()}
    if len(names) > 1:
      raise ValueError(f'seeds have other methods of {task}')
  return made


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog='python -m benchmarks.audit',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  made.add_argument(
    'runs',
    nargs='+',
    type=pathlib.Path,
    help='finished runs, KIND-SEED, or KIND with the seed of its settings',
  )
  made.add_argument('--out', type=pathlib.Path, help='a page with markers')
  made.add_argument(
    '--section', default='', help='whose markers, where a page has several'
  )
  made.add_argument(
    '--keep',
    type=pathlib.Path,
    help='folder with the numbers of every seed, to go on where it was stopped',
  )
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  asked = parser().parse_args(arguments)
  try:
    if asked.out:
      tables.check(asked.out, asked.section)
    found = by_task(dict(audits(asked.runs, asked.keep)))
    made = page.tables_of(found)
    if asked.out:
      page.write(asked.out, found, made, asked.section)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  console = rich.console.Console(width=max(160, rich.console.Console().width))
  for table in made:
    table.print(console)
  return 0


if __name__ == '__main__':
  np.seterr(all='raise', under='ignore')
  sys.exit(main(sys.argv[1:]))
