"""What a stack costs: M members in one program against M times one member.

  python -m benchmarks.members
  python -m benchmarks.members --members=5,10 --rounds=20

Trains EMENet-V as in benchmarks.training, on one device. Both programs are in one
process and do the same member-steps in turns: in processes of their own they meet
different moments of the machine, whose speed varies by more than what is sought.
"""

import argparse
import sys
import time

import rich.console

from benchmarks import engine, options, tables, workers


def cost(run, calls: int, member_steps: int) -> tuple[float, float]:
  """Seconds of the clock and of the processors per member-step."""
  clock, processors = time.perf_counter(), time.process_time()
  for _ in range(calls):
    run(member_steps)
  clock, processors = (
    time.perf_counter() - clock,
    time.process_time() - processors,
  )
  return clock, processors


def compare(members: int, args, console) -> list[list[str]]:
  """Rows of one and of `members` members, with their ratio."""
  spec = {'size': args.size, 'frames': 16, 'devices': 1, 'chunk': -1}
  spec |= {'lowering': 'auto', 'cache': args.compilation_cache}
  one, _ = engine.training(spec | {'members': 1})
  many, _ = engine.training(spec | {'members': members})
  turns = [('1', one, members), (str(members), many, 1)]
  samples = {name: [] for name, _, _ in turns}
  for _, run, _ in turns:
    run(2)
  with console.status('') as status:
    for number in range(args.rounds):
      status.update(f'{members} members: round {number + 1} of {args.rounds}')
      for name, run, calls in turns[:: 1 - 2 * (number % 2)]:
        seconds = cost(run, calls, args.steps)
        samples[name].append([s / args.steps / members for s in seconds])
  return _rows(samples, str(members))


def _rows(samples, many: str) -> list[list[str]]:
  rows = []
  for name, found in samples.items():
    times = [tables.spread(kind, 1000) for kind in zip(*found)]
    rows.append([f'stack of {name}', *times])
  ratios = [
    [b / a for a, b in zip(*kinds)]
    for kinds in zip(zip(*samples['1']), zip(*samples[many]))
  ]
  times = [tables.spread(kind, 1) for kind in ratios]
  return [*rows, [f'**{many} against {many} times 1**', *times]]


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = parser.add_argument
  add('--size', type=int, default=48, help='of images, in pixels')
  add('--members', type=options.numbers, default='5')
  add('--rounds', type=int, default=10, help='samples of each')
  add('--steps', type=int, default=10, help='of each member in a sample')
  add('--compilation_cache', default='auto', help='as in emojax.main')
  args = parser.parse_args()
  if not 0 < args.steps <= workers.MAX_STEPS:
    parser.error(f'--steps {args.steps}: expected 1 to {workers.MAX_STEPS}')
  console = rich.console.Console()
  console.print(tables.environment(), highlight=False)
  rows = [row for m in args.members for row in compare(m, args, console)]
  columns = ['ms per member-step', 'of the clock', 'of the processors']
  tables.Table(f'Stacks: {args.size} px', columns, rows).print(console)


if __name__ == '__main__':
  sys.exit(main())
