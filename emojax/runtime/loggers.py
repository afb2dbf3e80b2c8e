"""Mirrors of metrics.jsonl: TensorBoard, Weights & Biases, Aim, MLflow.

What a run knows is in its folder. A logger shows the same numbers to people who
look elsewhere: it is told what metrics.jsonl has and it has not, changes no bit of
a run, and is left out, with a line, once it fails.
"""

import contextlib
import importlib.util
import json
import os
import pathlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from rich.console import Console

from emojax.host import processes, terminal
from emojax.runtime import workdir

STATE = 'loggers.json'
PROJECT = 'emojax'
# What a line of metrics.jsonl says of itself, and no number to draw.
NO_METRICS = ('generation', 'epoch', 'member', 'best')


class Logger(Protocol):
  """What shows numbers elsewhere; made of a `Place`.

  Attributes:
    id: What a later life of the run has to know to go on with; '' for nothing.
  """

  id: str

  def log(self, step: int, values: Mapping[str, float]) -> None:
    """Takes the numbers of an epoch.

    Args:
      step: The epoch, from 0.
      values: By 'stack/member/metric', such as 'Stu1/0/val/total'.
    """

  def close(self) -> None:
    """Writes what is not written yet."""


class Place(NamedTuple):
  """Which run a logger shows.

  Attributes:
    folder: The run's folder.
    config: Its settings.
    id: What an earlier life of the run was called there; '' in the first one.
  """

  folder: pathlib.Path
  config: Mapping[str, Any]
  id: str


def split(name: str) -> tuple[str, str, str]:
  """(stack, member, metric) of a name that a logger is told."""
  stack, member, metric = name.split('/', 2)
  return stack, member, metric


class TensorBoard:
  """Event files in RUN/tensorboard, a curve for each member of a stack.

  By tensorboardX: the writers of `clu` import TensorFlow or PyTorch.
  """

  id = ''

  def __init__(self, place: Place):
    from tensorboardX import SummaryWriter  # pyright: ignore

    self._folder, self._make = place.folder / 'tensorboard', SummaryWriter
    self._writers: dict[str, Any] = {}

  def log(self, step: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
      stack, member, metric = split(name)
      self._writer(f'{stack}/member{member}').add_scalar(metric, value, step)
    for writer in self._writers.values():
      writer.flush()

  def _writer(self, curve: str):
    if curve not in self._writers:
      # Files are named by the second: a run that goes on at once must not
      # overwrite its own.
      self._writers[curve] = self._make(
        str(self._folder / curve), filename_suffix=f'.{time.time_ns()}'
      )
    return self._writers[curve]

  def close(self) -> None:
    for writer in self._writers.values():
      writer.close()


class WeightsAndBiases:
  """A run of W&B, offline with WANDB_MODE=offline; files are in RUN/wandb."""

  def __init__(self, place: Place):
    import wandb  # pyright: ignore

    self._run = wandb.init(
      project=os.environ.get('WANDB_PROJECT', PROJECT),
      name=place.folder.name,
      id=place.id or None,
      resume='allow',
      dir=str(place.folder),
      config=dict(place.config),
      settings=wandb.Settings(console='off'),
    )
    self.id = self._run.id
    # Stacks begin with epoch 0 one after the other; W&B's own step only rises.
    self._run.define_metric('epoch', hidden=True)
    self._run.define_metric('*', step_metric='epoch')

  def log(self, step: int, values: Mapping[str, float]) -> None:
    self._run.log({**values, 'epoch': step})

  def close(self) -> None:
    self._run.finish()


class Aim:
  """A run of Aim, in the repository of AIM_REPO or in RUN."""

  def __init__(self, place: Place):
    import aim  # pyright: ignore

    self._run = aim.Run(
      place.id or None,
      repo=os.environ.get('AIM_REPO', str(place.folder)),
      experiment=PROJECT,
      system_tracking_interval=None,
      log_system_params=False,
      capture_terminal_logs=False,
    )
    self._run['config'] = dict(place.config)
    self.id = self._run.hash

  def log(self, step: int, values: Mapping[str, float]) -> None:
    for name, value in values.items():
      stack, member, metric = split(name)
      context = {'stack': stack, 'member': int(member)}
      self._run.track(value, name=metric, step=step, context=context)

  def close(self) -> None:
    self._run.close()


class MLflow:
  """A run of MLflow, at MLFLOW_TRACKING_URI or in files in RUN/mlruns."""

  def __init__(self, place: Place):
    import mlflow  # pyright: ignore

    files = (place.folder / 'mlruns').resolve().as_uri()
    uri = os.environ.get('MLFLOW_TRACKING_URI') or files
    if uri == files:  # MLflow asks for a yes to its own older store
      os.environ.setdefault('MLFLOW_ALLOW_FILE_STORE', 'true')
    self._mlflow = mlflow
    self._client = mlflow.MlflowClient(tracking_uri=uri)
    self.id = place.id or self._started(place)

  def _started(self, place: Place) -> str:
    name = os.environ.get('MLFLOW_EXPERIMENT_NAME', PROJECT)
    found = self._client.get_experiment_by_name(name)
    number = (
      found.experiment_id if found else self._client.create_experiment(name)
    )
    made = self._client.create_run(number, run_name=place.folder.name)
    for key, value in workdir.flatten(dict(place.config)).items():
      self._client.log_param(made.info.run_id, key, value)
    return made.info.run_id

  def log(self, step: int, values: Mapping[str, float]) -> None:
    now = int(time.time() * 1000)
    metrics = [
      self._mlflow.entities.Metric(name, value, now, step)
      for name, value in values.items()
    ]
    self._client.log_batch(self.id, metrics=metrics)

  def close(self) -> None:
    self._client.set_terminated(self.id)


class Kind(NamedTuple):
  """A logger by its name.

  Attributes:
    package: What it needs.
    install: How that is installed.
    make: Opens it.
  """

  package: str
  install: str
  make: Callable[[Place], Any]


KINDS = {
  'tensorboard': Kind('tensorboardX', "pip install 'emojax[log]'", TensorBoard),
  'wandb': Kind('wandb', 'pip install wandb', WeightsAndBiases),
  'aim': Kind('aim', 'pip install aim', Aim),
  'mlflow': Kind('mlflow', 'pip install mlflow', MLflow),
}


def check(names: Sequence[str]):
  """Raises ValueError if a logger is not known, not installed or named twice."""
  for name in names:
    if name not in KINDS:
      raise ValueError(f'--log={name}: expected some of {", ".join(KINDS)}')
    if importlib.util.find_spec(KINDS[name].package) is None:
      kind = KINDS[name]
      raise ValueError(f'--log={name} needs {kind.package}: {kind.install}')
  if len(set(names)) < len(names):
    raise ValueError(f'--log={",".join(names)} names one twice')


class Mirror:
  """Tells the loggers of a run what its metrics.jsonl has.

  RUN/loggers.json keeps how far each of them is. That is written before a logger is
  told, so that a run that was killed in between lacks a point there rather than
  having it twice.

  Args:
    folder: The run's folder; `folder.loggers` has the names of the loggers.
    console: Where failures are said.
  """

  def __init__(self, folder: workdir.Workdir, console: Console):
    self._folder, self._console = folder, console
    self._open: dict[str, Any] = dict.fromkeys(folder.loggers)
    self._state = _read_state(folder / STATE)

  def update(self):
    """Tells every logger what is new; never raises an Exception."""
    if not self._open or processes.index() > 0:
      return
    try:
      epochs = by_epoch(_lines(self._folder / 'metrics.jsonl'))
    except OSError as error:
      self._fail('metrics.jsonl', error)
      return
    for name in list(self._open):
      with self._guarded(name):
        self._tell(name, epochs)

  def _tell(
    self, name: str, epochs: Mapping[tuple[str, int], dict[str, float]]
  ):
    state = self._state.setdefault(name, {'id': '', 'epochs': {}})
    done = state['epochs']
    new = {
      (stack, epoch): values
      for (stack, epoch), values in epochs.items()
      if epoch >= done.get(stack, 0)
    }
    if not new:
      return
    if self._open[name] is None:
      place = Place(self._folder.path, self._folder.config, state['id'])
      self._open[name] = KINDS[name].make(place)
      state['id'] = self._open[name].id
    for stack, epoch in new:
      done[stack] = max(done.get(stack, 0), epoch + 1)
    workdir.write_json(self._folder / STATE, self._state)
    for (_, epoch), values in new.items():
      self._open[name].log(epoch, values)

  def close(self):
    """Ends the loggers; never raises an Exception."""
    for name in list(self._open):
      with self._guarded(name):
        if self._open[name] is not None:
          self._open[name].close()
    self._open = {}

  @contextlib.contextmanager
  def _guarded(self, name: str):
    """Leaves a logger out that fails, whatever it fails of."""
    try:
      yield
    except Exception as error:
      self._open.pop(name, None)
      self._fail(name, error)

  def _fail(self, name: str, error: Exception):
    line = ' '.join(str(error).split())[:300]
    terminal.say(
      self._console,
      (f'--log={name}', 'bold'),
      f' fails ({type(error).__name__}: {line}): training goes on without it',
      wrap=True,
    )


@contextlib.contextmanager
def mirror(folder: workdir.Workdir, console: Console) -> Iterator[Mirror]:
  """Opens the mirror of a run, and ends its loggers."""
  made = Mirror(folder, console)
  try:
    yield made
  finally:
    made.close()


def by_epoch(
  lines: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, int], dict[str, float]]:
  """(stack, epoch) -> numbers by 'stack/member/metric', in the order of the lines."""
  found: dict[tuple[str, int], dict[str, float]] = defaultdict(dict)
  for line in lines:
    stack, epoch, member = line['generation'], line['epoch'], line['member']
    found[stack, epoch] |= {
      f'{stack}/{member}/{key}': float(value)
      for key, value in line.items()
      if key not in NO_METRICS
    }
  return dict(found)


def _lines(path: pathlib.Path) -> list[dict[str, Any]]:
  with open(path) as file:
    return [json.loads(line) for line in file]


def _read_state(path: pathlib.Path) -> dict[str, Any]:
  """How far the loggers are; nothing if that cannot be read."""
  try:
    found = json.loads(path.read_text())
    return {
      name: {
        'id': str(state['id']),
        'epochs': {str(k): int(v) for k, v in state['epochs'].items()},
      }
      for name, state in found.items()
    }
  except (OSError, ValueError, TypeError, KeyError, AttributeError):
    return {}
