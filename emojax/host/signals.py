"""SIGINT and SIGTERM: finish the segment, save, leave."""

import os
import signal
import threading

from absl import logging

from emojax.host import processes

SHOW_CURSOR = '\x1b[?25h'


class StopRequested(Exception):
  """The run was asked to stop and has saved its state."""


class StopFlag:
  """Remembers a first SIGINT or SIGTERM; a second one acts at once.

  Of several processes every one may get the signal; `asked` agrees on it. There
  SIGTERM belongs to JAX's coordination service, which tells the others.

  Python hands signals to the main thread alone: in another one nothing is caught,
  and the process ends as it would, with the last segment saved.
  """

  def __init__(self):
    self.received: signal.Signals | None = None
    self._previous = {}

  def __enter__(self):
    if threading.current_thread() is not threading.main_thread():
      logging.info('a run in a thread: signals are left to the main thread')
      return self
    alone = processes.count() == 1
    for number in (signal.SIGINT, *([signal.SIGTERM] if alone else [])):
      self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *_):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _handle(self, number, frame):
    del frame
    self.received = signal.Signals(number)
    # Not Python's handler for SIGINT: its exception is lost in callbacks.
    signal.signal(number, signal.SIG_DFL)
    # Not `print`: the signal may have come while the main thread prints.
    message = (
      f'\n{self.received.name}: saving at the end of this segment; '
      'once more to stop at once\n'
    )
    if os.isatty(2):
      # The progress bar hides the cursor, and the next signal ends the process.
      message += SHOW_CURSOR
    os.write(2, message.encode())

  def asked(self, step: int = 0) -> str:
    """Says, alike in all processes, what has asked the run to stop, or ''.

    Args:
      step: Number of the checkpoint that has just been saved.
    """
    preempted = processes.preempted(step)
    if not processes.any_of(bool(self) or preempted):
      return ''
    if self.received is not None:
      return self.received.name
    return 'SIGTERM' if preempted else 'asked to stop in another process'

  def __bool__(self) -> bool:
    return self.received is not None
