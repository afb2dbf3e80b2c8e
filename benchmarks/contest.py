"""Times contenders in turns, with a status line, and makes their table."""

from collections.abc import Callable, Sequence

import rich.console

from benchmarks import tables, workers


def contest(
  title: str,
  entries: Sequence[workers.Contender],
  rival: str,
  unit: str,
  units: Callable[[workers.Contender], int],
  images: int,
  args,
  console: rich.console.Console,
  steps: int = 0,
) -> tables.Table:
  """A row per contender.

  Args:
    title: Of the table.
    entries: Who is timed.
    rival: Name of the contender that the others are compared with.
    unit: What the milliseconds are of.
    units: How many of these a contender's step has.
    images: How many images each of them has.
    args: Of `options.parse`.
    console: Where the status is shown.
    steps: Of a sample; 0 for as many as its seconds have.
  """
  with console.status('') as status:
    workers.compete(
      entries,
      args.rounds,
      args.seconds,
      args.limit,
      steps,
      lambda text: status.update(f'{title}: {text}'),
    )
  return tables.comparison(
    title, entries, rival, unit, units, lambda c: images * units(c)
  )
