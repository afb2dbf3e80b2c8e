"""Coverage and size of the prediction sets of a finished run.

  python -m benchmarks.coverage --workdir=runs/votes
  python -m benchmarks.coverage --workdir=runs/first --generation=Stu1 --out=DIR

of the predictions that the run has kept of its validation and test clips; nothing
is predicted anew. Every promise is checked twice: with the thresholds that an
export has (of the validation set, which has chosen the epochs, too), and with
thresholds of one half of the test subjects, who have chosen nothing, on the other
half. Bands are the exact central 95 % (Beta-binomial) of what is to be seen; a
coverage outside is marked with `<` or `>`. `--out` keeps all numbers, by class, by
size and by subject, too.
"""

import argparse
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import rich.console

from benchmarks import tables
from emojax import tasks
from emojax.data import load
from emojax.evaluation import coverage_generation as coverage
from emojax.report import prediction_sets
from emojax.runtime import provenance, workdir
from emojax.trained import run as runs
from emojax.uncertainty import prior

TITLES = {
  'validation': 'thresholds of the validation set, as exported',
  'halves': 'thresholds of half of the test subjects',
}


def measured(run: runs.TrainedRun, name: str, seed: int) -> dict[str, Any]:
  """Measures of a generation by 'validation' and 'halves'.

  `other_labels` names tasks whose labels are shares in one of both sets only.
  """
  dataset = _dataset(run)
  stored = run.predictions(name).logits
  shift = run.priors()[name]
  val, test = (
    prior.correct(run.schema, stored[key], shift) for key in ('val', 'test')
  )
  bins = {task.bins for task in run.schema if task.kind == 'binned'}
  kind = run.config.loss.get('bin_values', 'ends')
  values = tasks.bin_values(bins.pop(), kind) if bins else None
  pairs = {
    'validation': coverage.held_out(
      run.schema, dataset.val, val, dataset.test, test
    ),
    'halves': coverage.halves(run.schema, dataset.test, test, seed),
  }
  found = {
    key: coverage.evaluate(pair, bin_values=values)
    for key, pair in pairs.items()
  }
  other = coverage.other_labels(run.schema, dataset.val, dataset.test)
  return {'measures': found, 'other_labels': other}


def _dataset(run: runs.TrainedRun):
  """The run's data; raises where they are not those that it was trained on."""
  data = run.config.data.copy_and_resolve_references()
  data.memory_gib, data.ood_path = 0.0, ''
  found = load.from_config(data)
  for key in ('val', 'test'):
    provenance.check_part(run.path, key, getattr(found, key))
  return found


def rows(found: dict[str, Any]) -> Iterator[list[str]]:
  """A row for each task and method."""
  for title, methods in found.items():
    for method, by_level in methods.items():
      cells = [prediction_sets.coverage_text(one) for one in by_level.values()]
      middle = by_level['0.9']
      single = middle.get('single', {}).get('size')
      yield [
        f'{title} {method}',
        *cells,
        f'{middle["size"]:.3f}',
        tables.MISSING if single is None else f'{single:.3f}',
        _worst(middle),
      ]


def _worst(one: dict[str, Any]) -> str:
  """The worst class or part, and the worst subject."""
  told = one['by_class'] or one['parts']
  name = min(told, key=lambda key: told[key]['coverage'])
  text = f'{name} {told[name]["coverage"]:.2f}'
  for person in one['worst'][:1]:
    text += f'; {person["subject"]} {person["coverage"]:.2f}'
  return text


def table(
  title: str, found: dict[str, Any], other: Sequence[str] = ()
) -> tables.Table:
  """Rows of `found` with what the columns mean."""
  return tables.Table(
    title=title,
    columns=[
      'Sets', '80 %', '90 %', '95 %', 'Size (90 %)', 'Size, single',
      'Worst (90 %)',
    ],
    rows=list(rows(found)),
    notes=[
      'size: classes, share of unsure action units, width of intervals in '
      '[-1, 1]; single: mean of the members alone',
      'all: too few subjects for a finite threshold, sets hold everything; of '
      'methods with several parts: how many parts are inside their band',
      *(
        f'{task}: labels are shares of votes in one of the sets and the most '
        'frequent class in the other, so that a threshold of the validation set '
        'promises something else than what is tested'
        for task in other
      ),
    ],
  )  # fmt: skip


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog='python -m benchmarks.coverage',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  made.add_argument('--workdir', required=True, help='folder of the run')
  made.add_argument('--generation', help='the last finished one without it')
  made.add_argument('--seed', type=int, default=0, help='of the halves')
  made.add_argument('--out', help='folder for coverage.json and coverage.md')
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  asked = parser().parse_args(arguments)
  try:
    run = runs.open_run(asked.workdir)
    chosen = asked.generation and [asked.generation]
    name = run.choose_generations(chosen)[-1]
    found = measured(run.select([name]), name, asked.seed)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  made = [
    table(f'{name}, {TITLES[key]}', one, found['other_labels'])
    for key, one in found['measures'].items()
  ]
  console = rich.console.Console(width=max(160, rich.console.Console().width))
  for one in made:
    one.print(console)
  if asked.out:
    folder = pathlib.Path(asked.out)
    folder.mkdir(parents=True, exist_ok=True)
    workdir.write_json(folder / 'coverage.json', found)
    text = '\n\n'.join(one.markdown() for one in made)
    workdir.write_text(folder / 'coverage.md', text + '\n')
  return 0


if __name__ == '__main__':
  np.seterr(all='raise', under='ignore')
  sys.exit(main(sys.argv[1:]))
