"""A stack trained to its last epoch: checkpoints, logs, clean stops, resuming.

Every experiment opens a `session` and trains its stacks with `train`, each within
`stack`, whatever they learn.
"""

import contextlib
import dataclasses
import gc
import pathlib
import shutil
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console

from emojax.engine import checkpoint, member
from emojax.engine.trainer import Generation, Segment, Trainer
from emojax.host import processes
from emojax.host.signals import StopFlag, StopRequested
from emojax.runtime import loggers, workdir
from emojax.runtime.progress import TrainingProgress
from emojax.runtime.timing import Timings


class DivergedError(RuntimeError):
  """A loss was not finite; says which member, task and step."""


@dataclasses.dataclass
class Session:
  """What the stacks of a run share.

  Attributes:
    folder: The run's folder.
    progress: The bar over all epochs of all stacks.
    stop: Raised by SIGINT and SIGTERM.
    mirror: Tells the run's loggers; None if there are none.
    timings: How long the stacks took.
  """

  folder: workdir.Workdir
  progress: TrainingProgress
  stop: StopFlag
  mirror: loggers.Mirror | None = None
  timings: Timings = dataclasses.field(init=False)

  def __post_init__(self):
    self.timings = Timings(self.folder / 'timings.json')

  def running(self, name: str) -> pathlib.Path:
    """Folder of the checkpoints of a stack that is being trained."""
    return self.folder / 'checkpoints' / 'running' / name

  def stop_if_asked(self, step: int = 0):
    """Raises StopRequested after a signal; `step` as in `StopFlag.asked`."""
    if reason := self.stop.asked(step):
      raise StopRequested(reason)

  def lap(self):
    """Ends a part whose files are written: its time is kept, signals obeyed."""
    self.timings.lap()
    self.stop_if_asked()


@contextlib.contextmanager
def session(
  folder: workdir.Workdir, console: Console, total: int
) -> Iterator[Session]:
  """Opens what the stacks of a run share; signals wait for a segment's end.

  Args:
    folder: The run's folder, with its data kept (`provenance.keep`).
    console: Where progress goes.
    total: Epochs of all stacks.
  """
  with (
    StopFlag() as stop,
    TrainingProgress(console, total) as progress,
    loggers.mirror(folder, console) as mirror,
  ):
    yield Session(folder, progress, stop, mirror)


@contextlib.contextmanager
def stack(
  session: Session, name: str, wanted: Sequence[pathlib.Path], epochs: int
) -> Iterator[list[pathlib.Path]]:
  """Surrounds the training of a stack, which is left out once it is done.

    with training.stack(session, name, [path], epochs) as missing:
      if missing:
        segment = training.train(session, trainer, name, generation)
        ...  # and writes what is missing

  Args:
    session: What the stacks of the run share.
    name: Name of the stack.
    wanted: Files that mark its end, each written after all that belongs to it.
    epochs: How long it trains.

  Yields:
    Those of `wanted` that are not there yet.

  Raises:
    StopRequested: After SIGINT or SIGTERM, with everything saved.
  """
  missing = [path for path in wanted if not path.exists()]
  if not missing:
    session.progress.skip(epochs)
  yield missing
  if missing:
    session.lap()
  forget(session, name)


def train(
  session: Session, trainer: Trainer, name: str, generation: Generation
) -> Segment:
  """Trains a stack to its last epoch, saving after every segment.

  Resumes from the newest readable checkpoint, and measures the time. Once all
  that is wanted of the stack is on disk, `forget` its checkpoints.

  Args:
    session: What the stacks of the run share.
    trainer: Trains the stack.
    name: Name of the stack in metrics.jsonl and of its checkpoints.
    generation: What it learns from.

  Returns:
    The last segment, with the state on the devices.

  Raises:
    StopRequested: After SIGINT or SIGTERM, with everything saved.
    DivergedError: If a loss is not finite.
  """
  session.progress.describe(name)
  session.timings.start(name)
  gc.collect()  # what earlier stacks had on the devices
  checkpoints = checkpoint.Checkpoints(session.running(name))
  try:
    state, epoch = _restore(checkpoints, trainer, generation)
    session.progress.skip(epoch)
    session.folder.trim_metrics(
      lambda line: line['generation'] != name or line['epoch'] < epoch
    )
    for segment in trainer.segments(generation, state, epoch):
      if segment.epoch > epoch:  # else only the soft labels were missing
        state = trainer.portable(segment.state)
        check_finite(name, _watched(trainer, state), epoch)
        check_totals(name, epoch, segment.logs['val/total'])
        _write_log(session, trainer, name, epoch, segment)
        session.progress.segment(segment.epoch - epoch)
        epoch = segment.epoch
        checkpoints.save(epoch, state)
        session.timings.lap()
      session.stop_if_asked(epoch)
  finally:
    checkpoints.close()
  return segment


@processes.by_one
def forget(session: Session, name: str):
  """Deletes the checkpoints of a stack that is finished."""
  shutil.rmtree(session.running(name), ignore_errors=True)


def _restore(checkpoints, trainer: Trainer, generation: Generation):
  """The newest checkpoint's state and epoch, or fresh members and 0."""
  state = trainer.init(generation.number)
  found = checkpoints.restore_latest(trainer.shapes(state))
  if found is None:
    return state, 0
  epoch, host = found
  return trainer.place(host), epoch


def _watched(trainer: Trainer, state: member.MemberState) -> member.MemberState:
  """A state whose fields that `check_finite` reads are whole on this host."""
  score, first_bad = trainer.fetch((state.best.score, state.first_bad))
  return state._replace(
    best=state.best._replace(score=score), first_bad=first_bad
  )


def check_finite(name: str, state: member.MemberState, saved: int = 0):
  """Raises if any member has seen a loss that is not finite.

  A bad loss spoils the parameters and then all losses, so what is named is the
  task that was bad first.

  Args:
    name: Name of the stack.
    state: After a segment, which has not been saved.
    saved: Epochs in the newest checkpoint; 0 without any.
  """
  first = {task: np.asarray(s) for task, s in state.first_bad.items()}
  step = min(steps.min() for steps in first.values())
  if step == member.NEVER:
    _check_scores(name, np.asarray(state.best.score), saved)
    return
  index = min(np.argmin(s) for s in first.values() if s.min() == step)
  bad = [task for task, steps in first.items() if steps[index] == step]
  guilty = [task for task in bad if task != 'total'] or bad
  raise DivergedError(
    f'{name}, member {index}: the loss of {", ".join(guilty)} was not finite '
    f'at step {step}. {_kept(saved)} Lower config.train.learning_rate (in a new '
    '--workdir), or check the data.'
  )


def _kept(saved: int) -> str:
  """Says what a run that diverged leaves behind."""
  if not saved:
    return 'That was before the first checkpoint: there is none of this stack.'
  return (
    f'The checkpoint of the {saved} epoch{"s" if saved > 1 else ""} before is '
    'kept and is good.'
  )


def _check_scores(name: str, scores: np.ndarray, saved: int = 0):
  """Raises if a member has no best epoch: its weights would be the first ones."""
  for index in np.flatnonzero(~np.isfinite(scores)):
    raise DivergedError(
      f'{name}, member {index}: the validation score was not finite although '
      f'the losses were. {_kept(saved)} Lower config.train.learning_rate (in a '
      'new --workdir).'
    )


def check_totals(name: str, epoch: int, totals: np.ndarray):
  """Raises if a validation score was not finite, even if a later one was.

  Such an epoch is never the best one; but who loses by it should know.

  Args:
    name: The stack's name.
    epoch: Epochs before those of `totals`.
    totals: [members, epochs].
  """
  for index, late in np.argwhere(~np.isfinite(totals)):
    raise DivergedError(
      f'{name}, member {index}: the validation score of epoch {epoch + late} '
      'was not finite although the losses were; lower '
      'config.train.learning_rate (in a new --workdir)'
    )


def _write_log(session, trainer, name: str, first: int, segment: Segment):
  epochs, members = trainer.settings.epochs, trainer.settings.members
  lines = []
  for e in range(segment.epoch - first):
    log = {key: value[:, e] for key, value in segment.logs.items()}
    session.progress.epoch(name, first + e, epochs, log)
    stopped = log.get('stopped', np.zeros(members))
    for m in np.flatnonzero(stopped == 0):  # the others learned nothing
      values = {key: round(float(v[m]), 6) for key, v in log.items()}
      line = {'generation': name, 'epoch': first + e, 'member': int(m)}
      line |= values
      lines.append({**line, 'best': bool(values['best'])})
  session.folder.append_metrics(lines)
  if session.mirror is not None:
    session.mirror.update()
