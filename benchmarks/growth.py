"""What training costs with more members and more pixels, and how fast data come.

  python -m benchmarks.growth --out TABLE.md
  python -m benchmarks.growth --quick

Time and peak memory of the engine's member-steps, as in benchmarks.training: one size
with more and more members, then one member with more and more pixels. Then the frames
a second of the data paths, as benchmarks.generator and benchmarks.pipeline make them.
Each row of training is a process of its own; they take turns.
"""

import pathlib
import sys
import tempfile
from collections.abc import Iterator

import rich.console

from benchmarks import clock, generator, options, pipeline, tables, workers
from benchmarks.contest import contest
from benchmarks.training import ENGINE

FRAMES = 16  # of a batch


def contender(size: int, members: int, args) -> workers.Contender:
  """The engine on one device, members one after the other where that is best."""
  spec = {'size': size, 'frames': FRAMES, 'members': members, 'devices': 1}
  spec |= {'chunk': -1, 'lowering': 'auto', 'cache': args.compilation_cache}
  return workers.Contender(f'{size} px, {members}', ENGINE, spec)


def group(title: str, entries, args, console) -> tables.Table:
  """Times some sizes or numbers of members; the first is the unit."""
  first = entries[0].name
  return contest(
    title,
    entries,
    first,
    'member-step',
    lambda c: c.members,
    FRAMES,
    args,
    console,
  )


def data(args) -> tables.Table:
  """Frames a second of what feeds training."""
  rows = [
    [rate.name, f'{rate.frames:,.0f}', f'{rate.milliseconds:.3g}']
    for rate in _rates(args)
  ]
  columns = ['', 'frames/s', 'ms of processors per frame']
  note = f'{tables.processor()}; load average behind it {tables.load()}'
  return tables.Table('Data', columns, rows, [note])


def _rates(args) -> Iterator[clock.Clock]:
  size = args.sizes[0]
  clips, videos, frames = (4, 2, 20) if args.quick else (400, 12, 400)
  yield from generator.rates(size, clips, 8)
  with tempfile.TemporaryDirectory() as folder:
    yield from pipeline.rates(
      pathlib.Path(folder), videos, frames, streamed=5 * frames * videos
    )


def main():
  parser = options.parser(__doc__, members='1,2,5,10,20', sizes='48,64,96,112')
  args = options.parse(parser, sizes='32,40', members='1,2')
  console = rich.console.Console()
  console.print(tables.environment(), highlight=False)
  first, found = args.sizes[0], []
  more = [contender(first, members, args) for members in args.members]
  larger = [contender(size, 1, args) for size in args.sizes]
  steps = (
    lambda: group(f'More members: {first} px', more, args, console),
    lambda: group('More pixels: one member', larger, args, console),
    lambda: data(args),
  )
  for step in steps:
    found.append(step())
    found[-1].print(console)
    if args.out:  # with what there is, if the rest is interrupted
      tables.write(args.out, tables.environment(), found)


if __name__ == '__main__':
  sys.exit(main())
