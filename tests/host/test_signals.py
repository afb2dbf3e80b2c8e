"""Signals: the first one is remembered, the second one acts."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from emojax.host.signals import StopFlag

BOTH = [signal.SIGINT, signal.SIGTERM]


def test_nothing_received():
  with StopFlag() as stop:
    assert not stop
    assert stop.received is None


@pytest.mark.parametrize('number', BOTH)
def test_first_one_is_remembered(number, capfd):
  with StopFlag() as stop:
    signal.raise_signal(number)
    assert stop
    assert stop.received == number
  message = capfd.readouterr().err
  assert number.name in message
  assert 'once more to stop at once' in message


def test_one_of_each_is_remembered():
  with StopFlag() as stop:
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert stop.received == signal.SIGINT


@pytest.mark.parametrize('number', BOTH)
def test_handlers_come_back(number):
  before = signal.getsignal(number)
  with StopFlag():
    assert signal.getsignal(number) != before
  assert signal.getsignal(number) == before
  with pytest.raises(ZeroDivisionError):
    _fail_after(number)
  assert signal.getsignal(number) == before


def _fail_after(number):
  with StopFlag():
    signal.raise_signal(number)
    raise ZeroDivisionError


PROGRAM = """
import sys, time
from emojax.host.signals import StopFlag
with StopFlag() as stop:
  print('ready', flush=True)
  while not stop:
    print('.' * 200)  # a signal may come in the middle of printing
  print('stopping', flush=True)
  for _ in range(600):  # a signal just before a call that sleeps waits for its end
    time.sleep(0.1)
"""


@pytest.mark.parametrize('number', BOTH)
def test_second_one_ends_the_process(number):
  with subprocess.Popen(
    [sys.executable, '-c', PROGRAM],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(number)
    for line in process.stdout:
      if line == 'stopping\n':
        break
    else:
      pytest.fail(process.stderr.read())
    begun = time.monotonic()
    process.send_signal(number)
    assert process.wait(30) == -number
    assert time.monotonic() - begun < 30
    assert f'{number.name}: saving' in process.stderr.read()


def test_in_a_thread_signals_are_left_alone():
  """Python would raise ValueError; a run in a thread goes on without."""
  before, found = [signal.getsignal(n) for n in BOTH], []

  def work():
    with StopFlag() as stop:
      found.append((stop.asked(), [signal.getsignal(n) for n in BOTH]))

  thread = threading.Thread(target=work)
  thread.start()
  thread.join()
  assert found == [('', before)]
