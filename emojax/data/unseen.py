"""Classes that training never sees, which no network can learn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from emojax import tasks
from emojax.host import terminal

TITLE = 'Without a training frame'


def unseen(schema: tasks.Schema, targets: tasks.Targets) -> list[str]:
  """Names of the classes, and action units, that no training frame shows.

  Args:
    schema: The tasks.
    targets: Of the training clips; hard or soft labels.

  Returns:
    'expr contempt', 'au AU26', ... Valence and arousal have no classes.
  """
  found = []
  for task in schema:
    if task.kind == 'binned':
      continue
    value, mask = (np.asarray(part) for part in targets[task.name])
    mask = mask[..., None] if task.kind == 'categorical' else mask
    seen = ((value > 0) & (mask > 0)).reshape(-1, len(task.labels)).any(0)
    found += [
      f'{task.name} {x}'
      for x, s in zip(task.labels, np.atleast_1d(seen))
      if not s
    ]
  return found


def tell(names: list[str], console: Console):
  """Says on the terminal what `unseen` has found, if anything."""
  if names:
    terminal.say(console, ('Note: ', 'bold'), note(names))


def note(names: list[str]) -> str:
  """A sentence for the terminal."""
  return (
    f'no training frame shows {", ".join(names)}: what is predicted of it means '
    'nothing, and its scores are of luck'
  )


def facts(results: Mapping[str, Any]) -> list[tuple[str, str]]:
  """A row of a report's facts, if `results` have an entry 'unseen'."""
  names = results.get('unseen')
  return [(TITLE, ', '.join(names))] if names else []
