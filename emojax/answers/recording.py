"""The end of a webcam's recording, which otherwise has none: Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Callable, Generator, Iterator

from emojax.faces import sources

Read = Callable[..., Iterator[sources.Frame]]


@contextlib.contextmanager
def until_interrupted() -> Iterator[threading.Event]:
  """A first Ctrl-C sets the event; a second one stops the program.

  Python hands signals to the main thread alone: in another one nothing is caught.
  """
  over = threading.Event()
  if threading.current_thread() is not threading.main_thread():
    yield over
    return

  def handle(number, frame):
    del number, frame
    over.set()
    signal.signal(signal.SIGINT, before)

  before = signal.signal(signal.SIGINT, handle)
  try:
    yield over
  finally:
    signal.signal(signal.SIGINT, before)


def ending(read: Read, over: threading.Event) -> Read:
  """Reads frames until the event is set, as if the camera had ended."""

  def frames(source: sources.Source, **reading) -> Iterator[sources.Frame]:
    found = read(source, **reading)
    try:
      for frame in found:
        yield frame
        if over.is_set():
          return
    finally:
      if isinstance(found, Generator):
        found.close()  # the camera

  return frames
