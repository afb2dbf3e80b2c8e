"""Latency of an ensemble's predictions: emojax and PyTorch, in turns.

  python -m benchmarks.inference
  python -m benchmarks.inference --sizes 112 --members 5 --frames 1,64
  python -m benchmarks.inference --quick

Logits of all members for one clip, from uint8 images in memory to arrays on the
host: the predict program, against PyTorch modules in evaluation mode and
`torch.inference_mode`, one after the other, not compiled.
"""

import sys

import rich.console

from benchmarks import options, tables, workers

ENGINE = 'benchmarks.engine:prediction'
TORCH = 'benchmarks.torch_emenet:prediction'
RIVAL = 'PyTorch'


def contenders(size: int, frames: int, members: int, args):
  """All ways to predict."""
  spec = {'size': size, 'frames': frames, 'members': members}
  engine = spec | {'chunk': -1, 'lowering': 'auto', 'devices': 1}
  engine['cache'] = args.compilation_cache
  cores = workers.cores()
  devices = min(cores, members)
  found = [workers.Contender('emojax, 1 device', ENGINE, engine)]
  if devices > 1:
    spread = engine | {'devices': devices}
    found.append(
      workers.Contender(f'emojax, {devices} devices', ENGINE, spread)
    )
  found.append(workers.Contender(RIVAL, TORCH, spec | {'threads': cores}))
  return found


def group(size, frames, members, args, console) -> tables.Table:
  """Times one size, clip length and number of members."""
  title = f'Inference: {size} px, {members} members, {frames} frames at once'
  entries = contenders(size, frames, members, args)
  with console.status('') as status:
    workers.compete(
      entries,
      args.rounds,
      args.seconds,
      args.limit,
      report=lambda text: status.update(f'{title}: {text}'),
    )
  return tables.comparison(
    title,
    entries,
    RIVAL,
    'frame',
    units=lambda c: frames,  # of the whole ensemble
    images=lambda c: frames,
  )


def main():
  parser = options.parser(__doc__, members='5', seconds=0.5)
  parser.add_argument(
    '--frames', type=options.numbers, default='1,64', help='of a clip'
  )
  args = options.parse(parser, sizes='32', members='2', frames='1,4')
  console = rich.console.Console()
  heading = f'{tables.environment()} {options.parity(args, console)}'
  console.print(heading, highlight=False)
  found = []
  for size in args.sizes:
    for members in args.members:
      for frames in args.frames:
        found.append(group(size, frames, members, args, console))
        found[-1].print(console)
  if args.out:
    tables.write(args.out, heading, found)


if __name__ == '__main__':
  sys.exit(main())
