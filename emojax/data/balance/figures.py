"""Label distributions before and after merging and balancing data sets.

  python -m emojax.data.balance.figures --data DATA/affwild2 --data DATA/expw \
      --out figures

draws figure 2 of paper 001 for every task of the first data set, from the
labels of prepared data sets alone: every data set, the first one thinned out,
all of them merged, and the merged frames resampled by the weights that training
draws them by (`sampling.clip_weights`). Paper 001 thins Aff-Wild2 out by
`--keep neutral=10 --keep happiness=2 --keep sadness=2 --va_every 5`. Labels are
matched by name; prepare the data sets with the same names (`--option
expressions=affwild2 --option action_units=au8`).
"""

import argparse
import pathlib
import sys
import types
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from emojax import tasks
from emojax.data.balance import balance, distributions
from emojax.data.clips import sampling
from emojax.data.store import store, stored
from emojax.host import terminal


class Thinning(NamedTuple):
  """What stays of the first data set, as in the settings of training.

  Attributes:
    va_every: Every so many frames with valence and arousal.
    keep: Class name to k: one in k of its frames.
  """

  va_every: int = 1
  keep: Mapping[str, int] = types.MappingProxyType({})


WHOLE = Thinning()


def stages(
  task: tasks.Task,
  targets: Mapping[str, tasks.Target],
  variant: str = 'paper',
  seed: int = 0,
  thinning: Thinning = WHOLE,
) -> dict[str, np.ndarray]:
  """Label counts of one task before and after.

  Args:
    task: The task.
    targets: Name of a data set to targets of its frames, leading axis F.
    variant: See `sampling.clip_weights`, as for `seed`.
    seed: Seed of the draws.
    thinning: What stays of the first data set.

  Returns:
    Name of a stage to `distributions.label_counts`: every data set, the first
    one 'thinned' (if it is), 'merged' (if there are several) and 'resampled',
    which draws as many frames as are labelled.
  """
  found = {}
  for number, (name, target) in enumerate(targets.items()):
    found[name] = distributions.label_counts(task, target)
    kept = _kept(task, target, thinning) if number == 0 else None
    if kept is not None:
      target = tasks.Target(*(array[kept] for array in target))
      targets = {**targets, name: target}
      found[f'{name}, thinned'] = distributions.label_counts(task, target)
  merged = tasks.Target(*map(np.concatenate, zip(*targets.values())))
  if len(targets) > 1:
    found['merged'] = distributions.label_counts(task, merged)
  frames = {task.name: tasks.Target(*(array[:, None] for array in merged))}
  weights = sampling.clip_weights((task,), frames, (task.name,), variant, seed)
  drawn = balance.resample(weights, int(np.count_nonzero(weights)), seed)
  resampled = tasks.Target(*(array[drawn] for array in merged))
  found['resampled'] = distributions.label_counts(task, resampled)
  return found


def _kept(
  task: tasks.Task, target: tasks.Target, thinning: Thinning
) -> np.ndarray | None:
  """Frames with a label that stay, None if all do."""
  mask = target.mask.reshape(len(target.mask), -1)
  labelled = np.flatnonzero(mask.min(1) > 0)
  if task.kind == 'binned' and thinning.va_every > 1:
    return labelled[balance.every(len(labelled), thinning.va_every)]
  if task.kind == 'categorical' and thinning.keep:
    unknown = sorted(set(thinning.keep) - set(task.labels))
    if unknown:
      raise ValueError(
        f'keep {unknown[0]!r}: expected one of {", ".join(task.labels)}'
      )
    factors = {task.labels.index(key): k for key, k in thinning.keep.items()}
    classes = target.value[labelled].argmax(-1)
    return labelled[balance.keep_one_in(classes, factors)]
  return None


def draw(
  stores: list[stored.Store],
  out: pathlib.Path,
  split: str = 'train',
  variant: str = 'paper',
  seed: int = 0,
  thinning: Thinning = WHOLE,
) -> list[pathlib.Path]:
  """Writes out/balance-TASK.png for every task that has labels.

  Args:
    stores: Prepared data sets; the first one's tasks are drawn.
    out: Folder of the figures.
    split: Split of all data sets.
    variant: See `sampling.clip_weights`, as for `seed`.
    seed: Seed of the draws.
    thinning: What stays of the first data set.

  Raises:
    StoreError: A data set lacks the split.
    ValueError: Labels of a task differ between the data sets, or the thinning
      names a class that there is not.
  """
  tables = {data.name: data.table(split) for data in stores}
  if len(tables) < len(stores):
    raise ValueError(
      f'two data sets of one name: {", ".join(d.name for d in stores)}'
    )
  out.mkdir(parents=True, exist_ok=True)
  paths = []
  for task in stores[0].spec.schema:
    labelled = {
      data.name: tables[data.name].targets[task.name]
      for data in stores
      if data.has(task) and np.any(tables[data.name].targets[task.name].mask)
    }
    if labelled:
      paths.append(out / f'balance-{task.name}.png')
      counts = stages(task, labelled, variant, seed, thinning)
      distributions.draw(task, counts, paths[-1])
  return paths


def main(argv: list[str] | None = None) -> int:
  """Command line; returns the exit status."""
  parser = argparse.ArgumentParser(
    'python -m emojax.data.balance.figures',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('--data', action='append', required=True, help='prepared; may repeat')
  add('--out', required=True, type=pathlib.Path, help='folder of the figures')
  add('--split', default='train', help='default train')
  add('--variant', default='paper', choices=sampling.VARIANTS)
  add('--seed', type=int, default=0)
  add(
    '--va_every',
    type=int,
    default=1,
    metavar='K',
    help='keep every K-th frame of the first data set with valence and arousal',
  )
  add(
    '--keep',
    action='append',
    default=[],
    type=_keep,
    metavar='CLASS=K',
    help='keep one in K frames of a class of the first data set; may repeat',
  )
  given = parser.parse_args(argv)
  try:
    thinning = _thinning(given.va_every, dict(given.keep))
    stores = [stored.Store(path) for path in given.data]
    paths = draw(
      stores, given.out, given.split, given.variant, given.seed, thinning
    )
  except (OSError, ValueError, store.StoreError) as error:
    print(terminal.harmless(f'error: {error}'), file=sys.stderr)
    return 1
  print('\n'.join(map(str, paths)))
  return 0


def _thinning(va_every: int, keep: dict[str, int]) -> Thinning:
  if va_every < 1:
    raise ValueError(f'va_every {va_every}: expected 1 or more')
  return Thinning(va_every, keep)


def _keep(text: str) -> tuple[str, int]:
  name, _, number = text.partition('=')
  if not name or not number.isdecimal() or int(number) < 1:
    raise argparse.ArgumentTypeError(f'{text!r}: expected CLASS=K, K from 1')
  return name, int(number)


if __name__ == '__main__':
  sys.exit(main())
