"""Training throughput of EMENet-V: emojax, PyTorch and plain Flax, in turns.

  python -m benchmarks.training
  python -m benchmarks.training --sizes 48 --members 5 --out training.md
  python -m benchmarks.training --quick

A member-step is one Adam step of one member on a batch of 16 frames (clips of
four). emojax runs its generation program on resident data; PyTorch trains the
members one after the other on all cores, by torch.compile and eagerly, and also in one
process per core. Beside them the step's matrix products alone, by NumPy's BLAS: what
would be left without all else.
"""

import sys

import rich.console

from benchmarks import options, startup, tables, workers
from benchmarks.contest import contest

ENGINE, TORCH = 'benchmarks.engine:training', 'benchmarks.torch_emenet:training'
PRODUCTS = 'benchmarks.products:training'
RIVAL = 'PyTorch'
# A step of these takes most of a minute.
PLAIN_MEMBERS = 2


def contenders(size: int, members: int, args, plain: bool):
  """All ways to train a stack.

  Args:
    size: Height and width of the images.
    members: M.
    args: Of the command line.
    plain: Whether plain convolutions are among them.
  """
  spec = {'size': size, 'frames': args.frames, 'members': members}
  spec['cache'] = args.compilation_cache
  cores = workers.cores()
  engine = spec | {'chunk': -1, 'lowering': 'auto', 'devices': 1}
  devices = min(cores, members)
  found = [workers.Contender('emojax, 1 device', ENGINE, engine)]
  if devices > 1:
    spread = engine | {'devices': devices}
    vmapped = engine | {'chunk': 0}
    found += [
      workers.Contender(f'emojax, {devices} devices', ENGINE, spread),
      workers.Contender('emojax, 1 device, vmapped', ENGINE, vmapped),
    ]
  torch = spec | {'threads': cores}
  found.append(workers.Contender(RIVAL, TORCH, torch))
  # Its members do not know each other, and each would be compiled.
  one = torch | {'members': 1, 'compiled': True}
  found.append(workers.Contender('PyTorch, compiled (1 member)', TORCH, one))
  if devices > 1:
    shares = [len(range(i, members, devices)) for i in range(devices)]
    split = [spec | {'threads': 1, 'members': n} for n in shares]
    found.append(
      workers.Contender(f'PyTorch, {devices} processes', TORCH, *split)
    )
  found.append(workers.Contender('products alone', PRODUCTS, spec))
  if plain:
    few = min(members, PLAIN_MEMBERS)
    spec = engine | {'chunk': 0, 'lowering': 'conv', 'members': few}
    name = f'lax.conv, vmapped ({few} members)'
    found.append(workers.Contender(name, ENGINE, spec))
  return found


def group(size: int, members: int, args, plain: bool, console) -> tables.Table:
  """Times one size and number of members."""
  title = f'Training: {size} px, {members} member{"s"[: members > 1]}'
  entries = contenders(size, members, args, plain)
  return contest(
    title,
    entries,
    RIVAL,
    'member-step',
    lambda c: c.members,
    args.frames,
    args,
    console,
    args.steps,
  )


def main():
  parser = options.parser(__doc__)
  add = parser.add_argument
  add('--frames', type=int, default=16, help='of a batch')
  add('--steps', type=int, default=0, help='of a sample; 0: --seconds long')
  add('--no_plain', action='store_true', help='leave lax.conv out: it is slow')
  args = options.parse(parser, sizes='32', members='2', frames=8, steps=1)
  console = rich.console.Console()
  heading = f'{tables.environment()} {options.parity(args, console)}'
  console.print(heading, highlight=False)
  found = []

  def add_table(table):
    found.append(table)
    table.print(console)

  most = max(args.members)
  spec = {'size': args.sizes[0], 'frames': args.frames, 'members': most}
  spec |= {'chunk': -1, 'lowering': 'auto'}
  with console.status('a fresh process, twice'):
    spec['devices'] = min(workers.cores(), most)
    add_table(startup.table(spec))
  for size in args.sizes:
    for members in args.members:
      first = size == args.sizes[0] and members == most
      plain = first and not args.no_plain
      add_table(group(size, members, args, plain, console))
  if args.out:
    tables.write(args.out, heading, found)


if __name__ == '__main__':
  sys.exit(main())
