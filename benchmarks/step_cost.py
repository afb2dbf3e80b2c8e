"""What a training step of a preset costs, and so a network and all of them.

  python -m benchmarks.step_cost cifar10h:hard --images 9000
  python -m benchmarks.step_cost relative_uncertainty:small_fer2013 --images 26627
  python -m benchmarks.step_cost bayesian:converged-alexnet --images 21359 \
    --only alexnet-dropout
  python -m benchmarks.step_cost cifar10h:hard --images 9000 model.width=0.5

trains a member of each method or network of the preset for a few steps, on random
images, by the engine's loop. Processor time is the sum over cores, which other
processes do not lengthen as much as the clock's. A network then sees `--images` of
them in each of its epochs; validation, predictions and compilation come on top.
"""

import argparse
import functools
import pathlib
import runpy
import statistics
import sys
import time
import types
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.console

from benchmarks import planned_runs, tables
from emojax import tasks
from emojax.engine import member, stack
from emojax.engine.member import Method
from emojax.experiments.bayesian import networks
from emojax.experiments.distillation import run as distillation
from emojax.experiments.relative_uncertainty import setup
from emojax.runtime import overrides

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLASSES = tuple(f'class {k}' for k in range(8))


class Problem(NamedTuple):
  """What is timed.

  Attributes:
    name: Of the method or the network.
    method: Of the engine.
    channels: Of the images.
    batch: Images of a step.
    targets: Of one batch.
    hparams: What the method reads beside the learning rate.
  """

  name: str
  method: Method
  channels: int
  batch: int
  targets: dict[str, Any]
  hparams: dict[str, Any]


def problems(config) -> Iterator[Problem]:
  """Every method or network of a configuration.

  Raises:
    ValueError: On an experiment of several stages.
  """
  task, mesh = tasks.expr_task(CLASSES), stack.make_mesh(1, 1)
  weights = {'pos_weight': np.float32(1), 'class_weight': np.ones(8, 'float32')}
  if config.experiment == 'distillation':
    data: Any = types.SimpleNamespace(schema=(task,))
    batch = config.train.clips_per_task
    method = distillation.method_from_config(config, data, mesh)
    targets = {task.name: _labels(batch)}
    yield Problem(config.model.name, method, 3, batch, targets, weights)
    return
  batch = config.train.batch_size
  if config.experiment == 'bayesian':
    for kind in networks.stacks(config):
      method = networks.method(config, kind, (task,), mesh)
      targets = {task.name: _labels(batch)}
      channels = config.data.channels
      yield Problem(kind.name, method, channels, batch, targets, weights)
  elif config.experiment == 'relative_uncertainty':
    data = types.SimpleNamespace(train=range(batch))
    run = types.SimpleNamespace(
      config=config, dataset=data, task=task, mesh=mesh
    )
    hparams = {
      'labels': jnp.arange(batch, dtype=jnp.int32) % len(CLASSES),
      'relabel': True,
      'relabel_from': jnp.float32(0),
    }
    targets = {'index': np.arange(batch, dtype=np.int32)}
    for name in config.methods:
      method = setup.method_from_config(run, name, 1)
      yield Problem(name, method, 3, batch, targets, hparams)
  else:
    raise ValueError(f'{config.experiment} has several stages: not measured')


def _labels(count: int) -> tasks.Target:
  value = np.eye(len(CLASSES), dtype='float32')[np.arange(count) % len(CLASSES)]
  return tasks.Target(value[:, None], np.ones((count, 1), 'float32'))


def measure(problem: Problem, size: int, steps: int, rounds: int) -> float:
  """Processor seconds of one image in training, the median of the rounds.

  Args:
    problem: The method.
    size: Height and width of the images.
    steps: Of a round.
    rounds: Samples.
  """
  method, batch = problem.method, problem.batch
  state = jax.jit(functools.partial(member.init, method))(jax.random.key(0))
  shape = (batch, 1, size, size, problem.channels)
  image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  rows = member.Rows({'image': jnp.asarray(image)}, problem.targets)
  plan = np.tile(np.arange(batch, dtype=np.int32), (steps, 1))
  hparams = {
    'learning_rate': jnp.float32(1e-4),
    'epoch_steps': jnp.int32(steps),
    **problem.hparams,
  }
  sums = member.zero_sums(method)

  def arguments(count: int):
    return state, sums, hparams, plan, jnp.int32(count), rows

  program = jax.jit(functools.partial(member.train_steps, method))
  compiled = program.lower(*arguments(steps)).compile()
  jax.block_until_ready(compiled(*arguments(1)))
  samples = []
  for _ in range(rounds):
    since = time.process_time()
    jax.block_until_ready(compiled(*arguments(steps)))
    samples.append((time.process_time() - since) / steps / batch)
  return statistics.median(samples)


def report(
  name: str,
  config,
  images: int,
  steps: int,
  rounds: int,
  only: Sequence[str] = (),
) -> tables.Table:
  """A row for each method or network, or for those that are named.

  Raises:
    ValueError: If there is none.
  """
  rows, seen = [], images * config.train.epochs
  found = [one for one in problems(config) if not only or one.name in only]
  if not found:
    raise ValueError(f'{name} has none of {", ".join(only)}')
  for problem in found:
    cost = measure(problem, config.data.image_size, steps, rounds)
    rows.append(
      [
        problem.name,
        f'{1000 * cost:.2f}',
        f'{seen:,}',
        f'{seen * cost / 60:.1f}',
      ]
    )
  columns = ['', 'ms per image', 'images seen', 'minutes of a core']
  return tables.Table(f'A network of {name}', columns, rows)


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog='python -m benchmarks.step_cost',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = made.add_argument
  add('preset', help='FILE:PRESET of configs/')
  add('changes', nargs='*', help='settings, e.g. model.width=0.5')
  add(
    '--images', type=planned_runs.positive, default=10_000, help='of an epoch'
  )
  add('--only', default='', help='methods or networks, commas between')
  add('--steps', type=planned_runs.positive, default=12, help='of a round')
  add('--rounds', type=planned_runs.positive, default=3)
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  asked = parser().parse_intermixed_args(arguments)
  file, _, preset = asked.preset.partition(':')
  made = runpy.run_path(str(ROOT / 'configs' / f'{file}.py'))['get_config']
  config = overrides.apply(made(*([preset] if preset else [])), asked.changes)
  console = rich.console.Console()
  console.print(tables.environment(), highlight=False)
  only = [name for name in asked.only.split(',') if name]
  found = report(
    asked.preset, config, asked.images, asked.steps, asked.rounds, only
  )
  found.print(console)
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
