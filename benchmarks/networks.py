"""One training step of the networks of papers 001 and 004: time and memory.

  python -m benchmarks.networks
  python -m benchmarks.networks --networks alexnet --width 0.25 --batch 64
  python -m benchmarks.networks --networks resnet50 --size 112 --batch 60
  python -m benchmarks.networks --quick

`resnet50` is the multitask CNN of paper 001, on colour images, with equal numbers
for action units, expressions, and valence and arousal; the others are paper 004's
on grey ones.

Each network is trained in a process of its own by the engine's loop, on random
images. A step is a forward and a backward pass over a batch and an update
of one member; processor time is the sum over cores, which other processes do
not lengthen as much. The program's memory is what XLA plans for activations
and other temporary arrays; the peak is that of the whole process, compilation
included.
"""

import argparse
import functools
import json
import pathlib
import resource
import runpy
import statistics
import subprocess
import sys
import time

import rich.console

from benchmarks import tables

ROOT = pathlib.Path(__file__).resolve().parent.parent
MIB = 2**20


def parse(arguments: list[str]) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.networks',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  add = parser.add_argument
  add('--networks', default='alexnet,vgg16,densenet121')
  add('--noise', default='dropout', help='dropout, dropconnect or none')
  add('--size', type=int, default=64, help='of the images, in pixels')
  add('--width', type=float, default=1.0)
  add('--batch', type=int, default=32)
  add('--steps', type=int, default=3, help='of a sample')
  add('--rounds', type=int, default=3, help='samples; the median counts')
  add('--out', help='Markdown file to write')
  add('--quick', action='store_true', help='does it work? Numbers mean nothing')
  add('--worker', help=argparse.SUPPRESS)
  if '--quick' in arguments:
    parser.set_defaults(
      networks='alexnet', size=32, width=0.125, batch=4, steps=2, rounds=1
    )
  return parser.parse_args(arguments)


def measure(args: argparse.Namespace) -> dict[str, float]:
  """Times the training of one network in this process."""
  import jax

  method, arguments = problem(args)
  from emojax.engine import member

  program = jax.jit(functools.partial(member.train_steps, method))
  start = time.perf_counter()
  compiled = program.lower(*arguments(args.steps)).compile()
  seconds = time.perf_counter() - start
  jax.block_until_ready(compiled(*arguments(1)))
  samples, busy = [], []
  for _ in range(args.rounds):
    begin, used = time.perf_counter(), time.process_time()
    jax.block_until_ready(compiled(*arguments(args.steps)))
    samples.append((time.perf_counter() - begin) / args.steps)
    busy.append((time.process_time() - used) / args.steps)
  params = arguments(1)[0].params
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  peak /= MIB if sys.platform == 'darwin' else 1024  # bytes or KiB
  return {
    'parameters': sum(x.size for x in jax.tree.leaves(params)),
    'compile': seconds,
    'step': statistics.median(samples),
    'busy': statistics.median(busy),
    'program': compiled.memory_analysis().temp_size_in_bytes / MIB,
    'peak': peak,
  }


def problem(args: argparse.Namespace):
  """(method, number of steps -> arguments of `member.train_steps`)."""
  import jax
  import jax.numpy as jnp
  import numpy as np

  from emojax.engine import member

  make = _multitask if args.worker == 'resnet50' else _classifier
  method, channels, targets, hparams = make(args)
  state = jax.jit(functools.partial(member.init, method))(jax.random.key(0))
  shape = (args.batch, 1, args.size, args.size, channels)
  image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  rows = member.Rows({'image': jnp.asarray(image)}, targets)
  plan = np.tile(np.arange(args.batch, dtype=np.int32), (args.steps, 1))
  hparams = {'learning_rate': jnp.float32(1e-4), **hparams}
  sums = member.zero_sums(method)

  def arguments(steps: int):
    return state, sums, hparams, plan, jnp.int32(steps), rows

  return method, arguments


def _preset(name: str, args: argparse.Namespace):
  """The preset `paper` of a configuration, at the size that is measured."""
  path = ROOT / 'configs' / f'{name}.py'
  config = runpy.run_path(str(path))['get_config']('paper')
  config.data.image_size, config.model.width = args.size, args.width
  return config


def _labels(count: int, task):
  """Random labels of all frames."""
  import numpy as np

  from emojax import tasks

  width, rng = len(task.labels), np.random.default_rng(1)
  value = np.eye(width, dtype='float32')[rng.integers(width, size=count)]
  if task.kind == 'binned':
    value = rng.uniform(-1, 1, (count, width)).astype('float32')
  one_class = task.kind == 'categorical'
  mask = np.ones((count, 1) if one_class else (count, 1, width))
  return tasks.Target(value[:, None], mask.astype('float32'))


def _classifier(args):
  """A network of paper 004: method, channels, targets, hparams."""
  import numpy as np

  from emojax import tasks
  from emojax.engine import stack
  from emojax.experiments.bayesian import networks

  schema = (tasks.expr_task(tasks.FERPLUS),)
  kind = networks.Stack(args.worker, args.noise, 1, ())
  config = _preset('bnn', args)
  method = networks.method(config, kind, schema, stack.make_mesh(1, 1))
  hparams = {'pos_weight': np.float32(1), 'class_weight': np.ones(8, 'float32')}
  return method, 1, {'expr': _labels(args.batch, schema[0])}, hparams


def _multitask(args):
  """The CNN of paper 001: method, channels, targets, hparams."""
  import numpy as np

  from emojax.experiments.incomplete_labels import run as incomplete_labels
  from emojax.experiments.two_stage import builders
  from emojax.experiments.two_stage.method import batch_targets

  config = _preset('incomplete_labels', args)
  schema = incomplete_labels.schema_from_config(config, ('au', 'expr', 'va'))
  method = builders.cnn_method(config, schema, np.eye(3))
  labels = {task.name: _labels(args.batch, task) for task in schema}
  targets = batch_targets(labels, np.ones((args.batch, 1), 'float32'))
  return method, 3, targets, {}


def row(name: str, options: list[str]) -> list[str]:
  """A row of the table, measured in a process of its own."""
  command = [sys.executable, '-m', 'benchmarks.networks', *options]
  done = subprocess.run(
    [*command, '--worker', name], cwd=ROOT, capture_output=True, text=True
  )
  if done.returncode:
    lines = done.stderr.strip().splitlines()
    return [name, *[tables.MISSING] * 5, lines[-1] if lines else 'killed']
  found = json.loads(done.stdout.splitlines()[-1])
  return [
    name,
    f'{found["parameters"]:,}',
    f'{1000 * found["step"]:,.0f} ms',
    f'{1000 * found["busy"]:,.0f} ms',
    f'{found["program"]:,.0f} MiB',
    f'{found["peak"]:,.0f} MiB',
    f'{found["compile"]:.0f} s',
  ]


def main():
  options = sys.argv[1:]
  args = parse(options)
  if args.worker:
    print(json.dumps(measure(args)))
    return
  console = rich.console.Console()
  heading = tables.environment()
  console.print(heading, highlight=False)
  columns = ('network', 'parameters', 'step', 'processor', 'program', 'peak')
  columns += ('compilation',)
  rows = []
  for name in args.networks.split(','):
    with console.status(name):
      rows.append(row(name, options))
  made = tables.Table(
    f'One training step: batch {args.batch}, {args.size} px, width '
    f'{args.width:g}, {args.noise} in networks of paper 004',
    columns,
    rows,
  )
  made.print(console)
  if args.out:
    tables.write(args.out, heading, [made])


if __name__ == '__main__':
  main()
