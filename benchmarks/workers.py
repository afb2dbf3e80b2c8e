"""Each implementation in a process of its own, timed in turns.

Separate processes keep the libraries' threads and memory apart. They wait for
commands without using a core, so runs can alternate: A B C, C B A, A B C.
"""

import concurrent.futures
import ctypes
import importlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_STEPS = 64
COMPILING = ('benchmarks.engine', 'benchmarks.deployed:prediction')
NO_TORCH = "PyTorch is not installed: pip install -e '.[parity]'"


class WorkerError(RuntimeError):
  """A worker cannot do its part; the message says why."""


class Worker:
  """A process that makes a runner and runs it on command."""

  def __init__(self):
    self._errors = tempfile.TemporaryFile('w+')
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'benchmarks.workers'],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._errors,
      text=True,
      cwd=ROOT,
    )

  def send(self, **message):
    try:
      self._process.stdin.write(json.dumps(message) + '\n')
      self._process.stdin.flush()
    except BrokenPipeError:
      pass  # `receive` says why

  def receive(self) -> dict:
    """Waits for the answer; raises WorkerError if there is none."""
    line = self._process.stdout.readline()
    if not line:
      self._process.wait()
      self._errors.seek(0)
      lines = self._errors.read().strip().splitlines()
      raise WorkerError(
        f'its process ended with code {self._process.returncode}: '
        f'{lines[-1] if lines else "no message"}'
      )
    answer = json.loads(line)
    if 'error' in answer:
      raise WorkerError(answer['error'])
    return answer

  def close(self):
    """Ends the process."""
    self._process.stdin.close()
    try:
      self._process.wait(10)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._errors.close()
    self._process.stdout.close()


class Contender:
  """An implementation: one worker, or a team that shares the members.

  Attributes:
    name: Of its row in the table.
    members: Members that it trains or predicts with.
    samples: Seconds per step of each run so far.
    processor: The same of all cores together, its processes alone.
    cold: Whether the only sample is of a first step, over the limit.
    memory: Peak memory of its processes after they were built, MiB.
    reason: Why there are no samples, or None.
    facts: What its (last) worker says about itself.

  Args:
    name: See above.
    make: 'module:function' that makes the runner from a specification.
    specs: One specification per worker; their 'members' are added up.
  """

  def __init__(self, name: str, make: str, *specs: dict):
    self.name, self.make, self.specs = name, make, specs
    self.members = sum(spec['members'] for spec in specs)
    self.samples, self.memory, self.facts = [], 0.0, {}
    self.processor, self.cold, self._busy = [], False, 0.0
    self.reason = None
    self._workers, self._steps = [], 1

  def build(self):
    """Starts the workers and lets them compile."""
    self._workers = [Worker() for _ in self.specs]
    for worker, spec in zip(self._workers, self.specs):
      worker.send(make=self.make, spec=spec)
    try:
      for worker in self._workers:
        self.facts = worker.receive()
    except WorkerError as error:
      self._give_up(error)

  def _give_up(self, error: Exception):
    self.reason = str(error)
    self.close()

  def _time(self, steps: int) -> float:
    start = time.perf_counter()
    for worker in self._workers:
      worker.send(run=steps)
    answers = [worker.receive() for worker in self._workers]
    seconds = time.perf_counter() - start
    self.memory = sum(answer['memory'] for answer in answers)
    self._busy = sum(answer['processor'] for answer in answers) / steps
    return seconds / steps

  def warm_up(self, seconds: float, limit: float, steps: int = 0):
    """Runs once and chooses how many steps a run of `seconds` has.

    If that one step takes longer than `limit`, it is the only sample.
    """
    try:
      first = self._time(1)
      if first > limit:
        self.samples.append(first)
        self.processor.append(self._busy)
        self.cold = True
        self.facts['note'] = (
          f'its first step took longer than {limit:g} s: it is the only one, '
          'without a warm-up, and compared with nothing'
        )
        self.close()
        return
      wanted = steps or round(seconds / self._time(1))
      self._steps = min(max(1, wanted), MAX_STEPS)
    except WorkerError as error:
      self._give_up(error)

  def sample(self):
    """Takes one sample, if it can."""
    if self._workers:
      try:
        self.samples.append(self._time(self._steps))
        self.processor.append(self._busy)
      except WorkerError as error:
        self._give_up(error)

  def close(self):
    """Ends the workers."""
    for worker in self._workers:
      worker.close()
    self._workers = []


def compete(contenders, rounds, seconds, limit, steps=0, report=str):
  """Builds all, then times them in turns; always ends their processes.

  Args:
    contenders: `Contender`s.
    rounds: Samples of each.
    seconds: Length of a sample.
    limit: Contenders with longer steps run only once.
    steps: Steps of a sample; 0 for as many as `seconds` have.
    report: Told what happens.
  """
  try:
    report('building')
    compiling = [c for c in contenders if c.make.startswith(COMPILING)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
      list(pool.map(Contender.build, compiling))
    for contender in contenders:
      # One by one: they try memory formats, which needs a quiet machine.
      if contender not in compiling:
        contender.build()
    for contender in contenders:
      report(f'first step of {contender.name}')
      contender.warm_up(seconds, limit, steps)
    for number in range(rounds):
      order = contenders if number % 2 == 0 else contenders[::-1]
      for contender in order:
        report(f'round {number + 1} of {rounds}: {contender.name}')
        contender.sample()
  finally:
    for contender in contenders:
      contender.close()


def fastest(ways: Mapping[str, Callable], repeats: int = 3) -> str:
  """The way whose best time out of `repeats` is the shortest."""
  best = {}
  for name, run in ways.items():
    run()
    times = []
    for _ in range(repeats):
      start = time.perf_counter()
      run()
      times.append(time.perf_counter() - start)
    best[name] = min(times)
  return min(best, key=best.__getitem__)


def peak_memory() -> float:
  """Peak resident memory of this process in MiB."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak / 2**20 if sys.platform == 'darwin' else peak / 2**10


def forget_peak() -> bool:
  """Starts `peak_memory` afresh where Linux allows it: compilers need much."""
  try:
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path('/proc/self/clear_refs').write_text('5')
  except (OSError, AttributeError):
    return False
  return True


def set_cores(count: int):
  """Confines this process to so many cores, where the system can."""
  if count and hasattr(os, 'sched_setaffinity'):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _serve(answer):
  """Obeys commands until the input ends."""
  run = None
  for line in sys.stdin:
    message = json.loads(line)
    if 'make' in message:
      module, function = message['make'].split(':')
      make = getattr(importlib.import_module(module), function)
      run, facts = make(message['spec'])
      answer(facts | {'fresh_peak': forget_peak()})
    else:
      used = time.process_time()
      run(message['run'])
      used = time.process_time() - used
      answer({'memory': peak_memory(), 'processor': used})


def main():
  # Whatever libraries print must not be taken for an answer.
  out = os.fdopen(os.dup(1), 'w')
  os.dup2(2, 1)

  def answer(value):
    out.write(json.dumps(value) + '\n')
    out.flush()

  try:
    _serve(answer)
  except Exception as error:
    traceback.print_exc()
    answer({'error': _explain(error)})


def _explain(error: Exception) -> str:
  if isinstance(error, ModuleNotFoundError) and error.name == 'torch':
    return NO_TORCH
  if isinstance(error, WorkerError):
    return str(error)
  return f'{type(error).__name__}: {error}'


if __name__ == '__main__':
  main()
