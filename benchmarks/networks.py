"""One training step of the networks of paper 004: time and memory.

  python -m benchmarks.networks
  python -m benchmarks.networks --networks alexnet --width 0.25 --batch 64
  python -m benchmarks.networks --quick

Each network is trained in a process of its own by the engine's loop, on random
grey images. A step is a forward and a backward pass over a batch and an update
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

  from emojax import tasks
  from emojax.bayesian import networks
  from emojax.engine import member, stack

  config = runpy.run_path(str(ROOT / 'configs' / 'bnn.py'))['get_config'](
    'paper'
  )
  config.data.image_size, config.model.width = args.size, args.width
  schema = (tasks.expr_task(tasks.FERPLUS),)
  kind = networks.Stack(args.worker, args.noise, 1, ())
  method = networks.method(config, kind, schema, stack.make_mesh(1, 1))
  state = jax.jit(functools.partial(member.init, method))(jax.random.key(0))
  rng = np.random.default_rng(0)
  shape = (args.batch, 1, args.size, args.size, 1)
  label = np.eye(8, dtype=np.float32)[rng.integers(8, size=args.batch)]
  rows = member.Rows(
    {'image': jnp.asarray(rng.integers(0, 256, shape, np.uint8))},
    {'expr': tasks.Target(label[:, None], np.ones((args.batch, 1), 'float32'))},
  )
  plan = np.tile(np.arange(args.batch, dtype=np.int32), (args.steps, 1))
  ones = jnp.ones(8)
  hparams = {'pos_weight': ones[0], 'class_weight': ones}
  hparams['learning_rate'] = 1e-4 * ones[0]
  sums = member.zero_sums(method)

  def arguments(steps: int):
    return state, sums, hparams, plan, jnp.int32(steps), rows

  return method, arguments


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
    f'One training step: batch {args.batch}, {args.size} px, grey, width '
    f'{args.width:g}, {args.noise}',
    columns,
    rows,
  )
  made.print(console)
  if args.out:
    tables.write(args.out, heading, [made])


if __name__ == '__main__':
  main()
