"""Many jobs in worker processes, under a progress bar with an ETA."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from multiprocessing import connection
from typing import Any

from rich import console as rich_console
from rich import progress as rich_progress

from emojax.host.terminal import say


def run(
  function: Callable[[Any], Any],
  jobs: Iterable[tuple[int, int, Any]],
  *,
  workers: int,
  total: int,
  done: int = 0,
  title: str,
  unit: str,
  console: rich_console.Console,
) -> Iterator[tuple[int, Any]]:
  """Calls `function` on every job and yields results as they come.

  Args:
    function: A module-level function of one picklable argument.
    jobs: (number, weight, argument) of every job; taken only as workers
      become free, so it may be a generator of large arguments.
    workers: Processes; 1 or less works in this process.
    total: Sum of all weights, those of work done before included.
    done: Weight of the work done before.
    title: What is going on.
    unit: What weights count.
    console: Where the bar goes; without a terminal, a line per job.

  Yields:
    (number of the job, result of `function`), in order of completion.
  """
  with _bar(console, unit) as bar:
    task = bar.add_task(title, total=total, completed=done)
    weights = {}

    def numbered():
      for number, weight, argument in jobs:
        weights[number] = weight
        yield number, argument

    runner = _in_process if workers <= 1 else _in_pool
    for number, result in runner(function, numbered(), workers):
      done += weights[number]
      bar.update(task, completed=done)
      if not console.is_terminal:
        say(console, f'{title}: {done:,} of {total:,} {unit}')
      yield number, result


def _bar(console: rich_console.Console, unit: str) -> rich_progress.Progress:
  return rich_progress.Progress(
    rich_progress.TextColumn('{task.description}', style='bold', markup=False),
    rich_progress.BarColumn(),
    rich_progress.MofNCompleteColumn(),
    rich_progress.TextColumn(unit, markup=False),
    rich_progress.TimeElapsedColumn(),
    rich_progress.TextColumn('left:'),
    rich_progress.TimeRemainingColumn(),
    console=console,
    disable=not console.is_terminal,
  )


def _in_process(function, jobs, workers) -> Iterator[tuple[int, Any]]:
  del workers
  for number, argument in jobs:
    yield number, function(argument)


def _in_pool(function, jobs, workers) -> Iterator[tuple[int, Any]]:
  # A spawned worker, unlike a forked one, has no threads or locks of ours.
  context = multiprocessing.get_context('spawn')
  watched, held = context.Pipe(duplex=False)
  pool = futures.ProcessPoolExecutor(
    workers, context, _leave_with_parent, (watched,)
  )
  pending: dict[futures.Future, int] = {}
  # Not futures.wait: a signal in it can leave a lock behind that the pool's
  # own thread then waits for.
  ready: queue.SimpleQueue[futures.Future] = queue.SimpleQueue()
  jobs = iter(jobs)
  try:
    while True:
      while len(pending) < 2 * workers and (job := next(jobs, None)):
        with _signals_held():
          future = pool.submit(function, job[1])
          pending[future] = job[0]
          future.add_done_callback(ready.put)
      if not pending:
        return
      future = ready.get()
      yield pending.pop(future), future.result()
  except (KeyboardInterrupt, GeneratorExit):
    held.close()  # nobody waits for the jobs at hand
    raise
  finally:
    pool.shutdown(wait=True, cancel_futures=True)
    held.close()
    watched.close()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
  """Ctrl-C and SIGTERM wait until the pool has let go of its locks.

  Workers inherit what is blocked and so never see Ctrl-C, which a terminal
  sends to all: those that are still importing would print tracebacks.
  """
  held = {signal.SIGINT, signal.SIGTERM}
  before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
  try:
    yield
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_with_parent(watched: connection.Connection):
  """Ends a worker once the other end is closed, also by a parent's death."""
  # The pool sends it to the others when one worker has died.
  signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

  def wait():
    with contextlib.suppress(EOFError, OSError):
      watched.recv()
    os._exit(1)

  threading.Thread(target=wait, daemon=True).start()
