"""SIGINT and SIGTERM: finish the segment, save, leave."""

import os
import signal


class StopRequested(Exception):
  """The run was asked to stop and has saved its state."""


class StopFlag:
  """Remembers a first SIGINT or SIGTERM; a second one acts at once."""

  def __init__(self):
    self.received: signal.Signals | None = None
    self._previous = {}

  def __enter__(self):
    for number in (signal.SIGINT, signal.SIGTERM):
      self._previous[number] = signal.signal(number, self._handle)
    return self

  def __exit__(self, *_):
    for number, handler in self._previous.items():
      signal.signal(number, handler)

  def _handle(self, number, frame):
    del frame
    self.received = signal.Signals(number)
    signal.signal(number, self._previous[number])
    # Not `print`: the signal may have come while the main thread prints.
    message = (
      f'\n{self.received.name}: saving at the end of this segment; '
      'once more to stop at once\n'
    )
    os.write(2, message.encode())

  def __bool__(self) -> bool:
    return self.received is not None
