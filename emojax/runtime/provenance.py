"""The data of a run, kept as digests beside its configuration.

A run's folder says by `data.json` what it is trained on: not where the data were,
but what they were. Soft labels, predictions and chosen epochs belong to certain
clips; on others they are wrong without anybody noticing. So the data are compared
before a run goes on, and before it is evaluated on what are said to be its own.
"""

import json
import pathlib
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from emojax import tasks
from emojax.data.store import digest
from emojax.host import processes
from emojax.host.terminal import say
from emojax.runtime import workdir

FILE = 'data.json'
FORMAT = 'emojax-data-1'
CONTENTS = ('labels', 'masks', 'votes', 'inputs')
WORDS = {
  'clips': 'clips',
  'frames': 'frames',
  'names': 'names of clips or people',
  'masks': 'which frames count',
  'votes': 'votes',
  'inputs': 'images or sound',
  'table': 'labels or names',
  'bytes': 'bytes of images',
  'shards': 'images or sound',
  'split': 'the split',
}
NUMBERS = ('clips', 'frames', 'bytes')
OLD = (
  'the run is older than digests of the data (data.json): whether the data are '
  'those that it was trained on is not known'
)

Json = dict[str, Any]


class DataChangedError(workdir.WorkdirError):
  """Data are not those that a run was trained on; says what differs."""


def describe(sets: Mapping[str, Any], schema: tasks.Schema) -> Json:
  """What data.json holds.

  Args:
    sets: Clips by their part in the run, such as 'train'.
    schema: The tasks.
  """
  simd = np.show_config(mode='dicts')['SIMD Extensions'].get('found', [])
  return {
    'format': FORMAT,
    'schema': digest.schema(schema),
    'sets': {name: digest.of(clips) for name, clips in sets.items()},
    # Drawn images round differently with other versions and processors.
    'drawn_by': [np.__version__, platform.machine(), *simd],
  }


def sets_of(dataset: Any) -> dict[str, Any]:
  """The parts of a `Dataset`."""
  foreign = {f'ood/{name}': clips for name, clips in dataset.ood.items()}
  parts = {'train': dataset.train, 'val': dataset.val, 'test': dataset.test}
  return parts | foreign


def keep(
  folder: workdir.Workdir,
  sets: Mapping[str, Any],
  schema: tasks.Schema,
  console: Console,
  option: str = '--workdir',
):
  """Writes what a run is trained on, or checks that it is what it was.

  To be called once the data are there and before anything is made of them.

  Args:
    folder: The run's folder, opened.
    sets: Clips by their part in the run.
    schema: The tasks.
    console: Where notes go.
    option: The option that names the folder, for the message.

  Raises:
    DataChangedError: The run has begun with other data.
    ProcessError: The processes of a job see different data.
  """
  found, kept, begun = describe(sets, schema), read(folder.path), folder.begun()
  if not processes.all_same(json.dumps(_firm(found))):  # and all have read it
    raise processes.ProcessError(
      'the processes of this job see different data: give all of them the same '
      'files'
    )
  if begun and kept is not None:
    _check(kept, found, folder.path, option, console)
    return
  if begun:
    _say(console, OLD)
  if not folder.finished:  # else nothing is written; it may be read-only
    workdir.write_json(folder / FILE, found)


def check_part(path: pathlib.Path, name: str, clips: Any):
  """Compares clips with a part of a run, if it has kept digests.

  Args:
    path: The run's folder.
    name: The part, such as 'val'.
    clips: The same clips, read again.

  Raises:
    DataChangedError: They are others.
  """
  kept = read(path)
  found = [] if kept is None else part_differences(kept, name, clips)
  if found:
    raise DataChangedError(
      f'the data have changed since {path} was begun: {name}: '
      f'{", ".join(found)}. Restore them as {path / FILE} has their digests'
    )


def part_differences(kept: Json, name: str, clips: Any) -> list[str]:
  """What differs between a part of a run and clips, in words.

  Contents that were drawn elsewhere, and so rounded differently, do not count.
  """
  if name not in kept['sets']:
    return []
  found = describe({name: clips}, ())
  pair = kept['sets'][name], found['sets'][name]
  elsewhere = kept['drawn_by'] != found['drawn_by']
  if elsewhere and _only_contents(*pair):
    return []
  return set_differences(*pair)


def _check(kept: Json, found: Json, path, option: str, console: Console):
  """Raises DataChangedError, naming what differs, unless data are the same."""
  lines, rounded = differences(kept, found)
  if lines:
    raise DataChangedError(
      f'the data have changed since {path} was begun:\n  '
      + '\n  '.join(lines)
      + f'\nRestore them as {path / FILE} has their digests, or choose another '
      f'{option}.'
    )
  if rounded:
    _say(console, f'{", ".join(rounded)}: {ROUNDED}')


ROUNDED = (
  'drawn by another version of NumPy or another processor than in the beginning, '
  'and so rounded differently'
)


def read(folder: pathlib.Path) -> Json | None:
  """data.json of a run's folder; None if it is older than that.

  Raises:
    WorkdirError: It is damaged.
  """
  path = folder / FILE
  if not path.exists():
    return None
  try:
    found = json.loads(path.read_text())
    if found['format'] != FORMAT:
      raise ValueError(f'format {found["format"]!r}, expected {FORMAT!r}')
    _check_shape(found)
  except (
    AttributeError, KeyError, OSError, RecursionError, TypeError, ValueError
  ) as error:  # fmt: skip
    raise workdir.WorkdirError(
      f'{path} cannot be read ({type(error).__name__}: {error}): restore it, or '
      'move it away if the data are certain to be the same'
    ) from error
  return found


def _check_shape(found: Json):
  """Raises an error of `read` unless all is there that is compared."""
  if not all({'name', 'labels'} <= task.keys() for task in found['schema']):
    raise ValueError('schema is damaged')
  if not isinstance(found['drawn_by'], list):
    raise ValueError('drawn_by is damaged')
  for one in found['sets'].values():
    missing = {'clips', 'frames', 'names', 'labels', *CONTENTS} - one.keys()
    missing |= set() if isinstance(one['labels'], dict) else {'labels'}
    for origin in one['origins']:
      missing |= set(digest.Origin._fields) - origin.keys()
      missing |= {k for k in ('frames', 'bytes') if type(origin[k]) is not int}
    missing |= {k for k in ('clips', 'frames') if type(one[k]) is not int}
    if missing:
      raise ValueError(f'{sorted(missing)[0]} is missing or damaged')


def differences(kept: Json, found: Json) -> tuple[list[str], list[str]]:
  """Compares two of what `describe` returns.

  Returns:
    A line for every difference, and the names of sets whose contents differ,
    but which were drawn elsewhere, where numbers round differently.
  """
  lines, rounded = [], []
  if kept['schema'] != found['schema']:
    lines.append(f'labels: {_labels(found)} now, {_labels(kept)} then')
  for name in [*kept['sets'], *(found['sets'].keys() - kept['sets'].keys())]:
    pair = [tree['sets'].get(name) for tree in (kept, found)]
    if None in pair:
      lines.append(f'{name}: not there {"now" if pair[0] else "then"}')
      continue
    parts = set_differences(*pair)
    elsewhere = kept['drawn_by'] != found['drawn_by']
    if parts and elsewhere and _only_contents(*pair):
      rounded.append(name)
    elif parts:
      lines.append(f'{name}: {", ".join(parts)}')
  return lines, rounded


def set_differences(kept: Json, found: Json) -> list[str]:
  """What differs between two descriptions of a set, in words."""
  parts = _differing(kept, found, ('clips', 'frames', 'names', *CONTENTS[1:]))
  tasks_of = kept['labels'].keys() | found['labels'].keys()
  other = sorted(
    task
    for task in tasks_of
    if kept['labels'].get(task) != found['labels'].get(task)
  )
  parts += [f'labels of {" and ".join(other)}'] if other else []
  origins = kept['origins'], found['origins']
  if len(origins[0]) != len(origins[1]):
    parts.append(f'{len(origins[1])} sources now, {len(origins[0])} then')
  for pair in zip(*origins):
    parts += [p for p in origin_differences(*pair) if p not in parts]
  return parts


def origin_differences(kept: Json, found: Json) -> list[str]:
  """What differs between two `digest.Origin`s as dictionaries, in words."""
  parts = _differing(kept, found, ('frames', 'table', 'split'))
  # Sizes say nothing new where the digests are known.
  known = kept['shards'] is not None and found['shards'] is not None
  return parts + _differing(kept, found, ('shards',) if known else ('bytes',))


def _differing(kept: Json, found: Json, keys) -> list[str]:
  return [
    f'{found.get(key):,} {WORDS[key]} now, {kept.get(key):,} then'
    if key in NUMBERS
    else WORDS[key]
    for key in keys
    if kept.get(key) != found.get(key)
  ]


def _only_contents(kept: Json, found: Json) -> bool:
  """Whether sets of drawn clips differ in nothing but labels and images."""
  same = all(kept[key] == found[key] for key in ('clips', 'frames', 'names'))
  return same and not kept['origins'] and not found['origins']


def _firm(described: Json) -> Json:
  """What must be the same on all processors."""
  return {
    name: {
      key: value
      for key, value in one.items()
      if one['origins'] or key not in CONTENTS
    }
    for name, one in described['sets'].items()
  }


def _labels(described: Json) -> str:
  return '; '.join(
    f'{task["name"]} {", ".join(task["labels"])}'
    for task in described['schema']
  )


def _say(console: Console, text: str):
  say(console, f'Note: {text}.')
