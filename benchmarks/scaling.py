"""Memory and communication of the generation program on more and more devices.

  python -m benchmarks.scaling --config=configs/gen.py
  python -m benchmarks.scaling --config=configs/gen.py --split=batch

Compiles the program for forced CPU devices, without running it, and prints what
XLA says of it per device: bytes of arguments and of temporary memory, floating
point operations, all communication, in the loops that train and outside, and the
seconds of compilation.
With --split=member there is a member per device, so all but the mean over
members should stay as it is; with --split=batch, one member's batch is split.
Batches have 24 clips, of three tasks. What follows goes to the configuration,
e.g. --config.model.width=0.125.
"""

import argparse
import json
import os
import runpy
import subprocess
import sys
import time

COLUMNS = (
  'devices',
  'members',
  'MB of arguments',
  'MB of temporaries',
  'GFLOP',
  'in loops',
  'outside',
  's to compile',
)
# Batches of 24 clips: 1, 2, 4 and 8 devices divide them. Three steps of data are
# enough, since nothing is run.
SMALL = ['train.clips_per_task=8'] + [
  f'data.train_clips.{subset}=24' for subset in ('au', 'expr', 'va', 'shared')
]


def configuration(path: str, overrides: list[str]):
  """The configuration of a file, with a few settings changed."""
  file, _, preset = path.partition(':')
  config = runpy.run_path(file)['get_config'](*([preset] if preset else []))
  for override in overrides:
    name, _, value = override.removeprefix('--config.').partition('=')
    try:
      value = json.loads(value)
    except json.JSONDecodeError:
      pass  # a string without quotes
    config.update_from_flattened_dict({name: value})
  return config


def measure(args, overrides: list[str]) -> dict:
  """Compiles the generation program on all devices of this process."""
  import jax

  from emojax.data import load
  from emojax.engine import stack
  from emojax.engine.collectives import collectives
  from emojax.engine.trainer import Trainer, settings_from_config
  from emojax.experiments.distillation import run as distillation

  config = configuration(args.config, [*SMALL, *overrides])
  by_member = args.split == 'member'
  config.ensemble.size = jax.device_count() if by_member else 1
  mesh = stack.make_mesh(0, 1 if by_member else jax.device_count())
  dataset = load.from_config(config.data)
  trainer = Trainer(
    distillation.method_from_config(config, dataset, mesh),
    settings_from_config(config, config.ensemble.size, config.train.epochs),
    mesh,
    dataset.train,
    dataset.val,
    dataset.val.targets,
  )
  generation = distillation.generations_from_config(config, dataset)(0, None)
  lowered = trainer.lower(generation)
  start = time.perf_counter()
  compiled = lowered.compile()
  seconds = time.perf_counter() - start
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  found = collectives(compiled.as_text())
  return {
    'devices': jax.device_count(),
    'members': config.ensemble.size,
    'MB of arguments': round(memory.argument_size_in_bytes / 1e6, 1),
    'MB of temporaries': round(memory.temp_size_in_bytes / 1e6, 1),
    'GFLOP': round(cost['flops'] / 1e9, 2),
    'in loops': summary([c for c in found if c.in_loop]),
    'outside': summary([c for c in found if not c.in_loop]),
    's to compile': round(seconds),
  }


def summary(found) -> str:
  """'3 all-reduce, 0.12 MB' of some collectives."""
  kinds = sorted({c.kind for c in found})
  counts = [f'{sum(c.kind == k for c in found)} {k}' for k in kinds]
  size = sum(c.nbytes for c in found) / 1e6
  return f'{", ".join(counts)}, {size:.3f} MB' if found else 'none'


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--config', default='configs/gen.py')
  parser.add_argument('--devices', default='1,2,4,8')
  parser.add_argument('--split', choices=['member', 'batch'], default='member')
  parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
  args, overrides = parser.parse_known_args()
  if args.child:
    print(json.dumps(measure(args, overrides)))
    return
  print('| ' + ' | '.join(COLUMNS) + ' |\n|' + '---|' * len(COLUMNS))
  for number in args.devices.split(','):
    # Every number of devices needs a process of its own.
    flags = os.environ.get('XLA_FLAGS', '')
    count = f'--xla_force_host_platform_device_count={number}'
    command = [sys.executable, '-m', 'benchmarks.scaling', '--child']
    command += [f'--config={args.config}', f'--split={args.split}', *overrides]
    output = subprocess.run(
      command,
      env=os.environ
      | {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': f'{flags} {count}'},
      stdout=subprocess.PIPE,
      text=True,
      check=True,
    ).stdout
    row = json.loads(output.splitlines()[-1])
    print('| ' + ' | '.join(str(row[c]) for c in COLUMNS) + ' |', flush=True)


if __name__ == '__main__':
  main()
