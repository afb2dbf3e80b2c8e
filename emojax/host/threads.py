"""Stages of a stream that work at the same time, in order."""

import functools
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent import futures
from typing import TypeVar

Value = TypeVar('Value')
Result = TypeVar('Result')


def cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def mapped(
  function: Callable[[Value], Result],
  values: Iterable[Value],
  workers: int,
  ahead: int,
) -> Generator[Result, None, None]:
  """Yields `function(value)` of all values, in their order.

  One thread asks for the values, some others call the function. What it yields
  does not depend on them, nor where it fails: an error of a value, or of the
  function, comes in the place of its result. Close it to end the threads early.

  Args:
    function: Called by several threads at once, if there are several workers.
    values: Asked for by one thread, which closes it if it can be closed.
    workers: Threads that call the function.
    ahead: Values that are worked at or done, and not yet asked for.
  """
  ready: queue.SimpleQueue[futures.Future | None] = queue.SimpleQueue()
  room, over = threading.Semaphore(ahead), threading.Event()
  with futures.ThreadPoolExecutor(workers) as pool:
    submit = functools.partial(pool.submit, function)
    reader = threading.Thread(
      target=_read, args=(submit, values, ready, room, over), daemon=True
    )
    reader.start()
    try:
      while (result := ready.get()) is not None:
        yield result.result()
        room.release()
    finally:
      over.set()
      room.release()
      reader.join()


def _read(submit, values, ready, room, over):
  """Submits values while there is room; None is the end."""
  try:
    try:
      for value in values:
        room.acquire()
        if over.is_set():
          break
        ready.put(submit(value))
    finally:
      if hasattr(values, 'close'):
        values.close()
  except BaseException as error:  # raised where its value would have come
    failed: futures.Future = futures.Future()
    failed.set_exception(error)
    ready.put(failed)
  ready.put(None)
