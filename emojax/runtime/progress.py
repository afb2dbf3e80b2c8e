"""Progress of a run in the terminal: bars with ETA, or lines in a log."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
  BarColumn,
  MofNCompleteColumn,
  Progress,
  TextColumn,
  TimeElapsedColumn,
  TimeRemainingColumn,
)

from emojax.host.terminal import duration, say


class TrainingProgress:
  """A bar over all epochs of all generations, and a line per epoch.

  Args:
    console: Where to print. Without a terminal there are lines only.
    total: Epochs of the whole run.
    clock: Seconds of it are what epochs are measured in.
  """

  def __init__(
    self,
    console: Console,
    total: int,
    clock: Callable[[], float] = time.monotonic,
  ):
    self._console, self._clock = console, clock
    self._since: float | None = None  # end of the last segment of this stack
    self._told = False
    self._progress = Progress(
      TextColumn('{task.description}', style='bold', markup=False),
      BarColumn(),
      MofNCompleteColumn(),
      TextColumn('epochs'),
      TimeElapsedColumn(),
      TextColumn('left:'),
      TimeRemainingColumn(),
      console=console,
      transient=True,
      disable=not console.is_terminal,
    )
    self._task = self._progress.add_task('compiling', total=total)

  def __enter__(self):
    self._progress.start()
    return self

  def __exit__(self, *_):
    self._progress.stop()

  def describe(self, text: str):
    """Says what is going on beside the bar."""
    self._since = None  # programs are compiled, or something else is done
    self._progress.update(self._task, description=text)

  def skip(self, epochs: int):
    """Counts epochs that a resumed run has behind it."""
    # A new total rather than an advance, or the ETA would believe that these
    # epochs took no time.
    task = self._progress.tasks[self._task]
    self._progress.update(self._task, total=(task.total or 0) - epochs)

  def segment(self, epochs: int):
    """Counts a segment, and says once how long the rest of the run takes.

    As soon as a segment was trained by a program that was compiled before.

    Args:
      epochs: Its epochs, which have been reported.
    """
    now, since = self._clock(), self._since
    self._since = now
    task = self._progress.tasks[self._task]
    left = round((task.total or 0) - task.completed)
    if self._told or since is None or not left:
      return
    self._told = True
    pace = (now - since) / epochs
    say(
      self._console,
      f'{left} epochs are left, about {duration(left * pace)} at {pace:.3g} s each '
      'if those of other stacks take as long; predictions come on top',
    )

  def epoch(self, name: str, epoch: int, epochs: int, log: dict[str, Any]):
    """Reports an epoch: losses and validation metrics, mean over members.

    Losses are those of the members that learned: who has stopped has none.
    """
    mean = {key: float(np.mean(value)) for key, value in log.items()}
    learned = np.asarray(log.get('stopped', 0)) == 0
    losses = '  '.join(
      f'{key.removeprefix("loss/")} {np.asarray(value)[learned].mean():.3f}'
      for key, value in log.items()
      if key.startswith('loss/') and learned.any()
    )
    scores = '  '.join(
      f'{key.split("/")[1] if key.endswith("/score") else "total"} {value:.3f}'
      for key, value in mean.items()
      if key.endswith('/score') or key == 'val/total'
    )
    self._progress.update(self._task, advance=1)
    say(
      self._console,
      (f'{name:>5}', 'bold'),
      f' epoch {epoch + 1:>2}/{epochs}  ',
      ('loss', 'dim'),
      f' {losses or "– (all have stopped)"}  ',
      ('val', 'dim'),
      f' {scores}',
    )
