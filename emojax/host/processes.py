"""Several processes that run one job: joining, agreeing, one writer, leaving.

Every process runs the same program, from the flags to the report. What differs
is which devices are its own, and that process 0 alone writes files. So they
must all decide alike: what rests on a signal, a file or a failure of one of
them is agreed on here. Without `join` there is one process, and nothing here
does anything.
"""

import contextlib
import errno
import functools
import importlib.util
import itertools
import os
import pathlib
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.experimental import multihost_utils

BIND = 'JAX_COORDINATOR_BIND_ADDRESS'
VISIBLE_SECONDS = 60  # until all see a file that one has written; NFS caches 30
JOINING_SECONDS = 300  # that a process waits for the others at the start
NOTICE_SECONDS = 10  # until it says so
ENDING_SECONDS = 3600  # that a process waits at its end for others, if alive


class ProcessError(RuntimeError):
  """The processes of a job cannot work together, or one of them has failed."""


def environment(variables: Mapping[str, str] = os.environ) -> str | None:
  """Name of what has started this process as one of several; None if nothing.

  `jax.distributed.initialize` finds out the rest by itself in all of them.
  """
  v = variables
  hosts = v.get('TPU_PROCESS_ADDRESSES') or v.get('TPU_WORKER_HOSTNAMES', '')
  # JAX sets this variable, on import, where there are no TPU chips.
  tpu_vm = importlib.util.find_spec('libtpu') and 'TPU_SKIP_MDS_QUERY' not in v
  if ',' in hosts or (tpu_vm and not hosts):
    return 'TPU'
  if 'SLURM_STEP_NODELIST' in v and int(v.get('SLURM_NTASKS', 1)) > 1:
    return 'SLURM'
  if int(v.get('OMPI_COMM_WORLD_SIZE', 1)) > 1:
    return 'Open MPI'
  if 'KUBERNETES_SERVICE_HOST' in v and 'JOB_COMPLETION_INDEX' in v:
    return 'Kubernetes'
  return None


def join(
  coordinator: str | None = None,
  processes: int | None = None,
  process: int | None = None,
  heartbeat: int = 60,
):
  """Makes this process part of a job, before JAX is used for anything else.

  Process 0 listens at the coordinator's address only, where JAX by itself would
  listen at all of its host's: whoever reaches it can join. `BIND`, a variable of
  JAX, overrides the address, e.g. for a host behind a translated one.

  Args:
    coordinator: HOST:PORT at which process 0 listens. None, as for the next
      two, for what the environment says.
    processes: Number of processes of the job.
    process: Which of them this is, from 0.
    heartbeat: Seconds of silence after which a process counts as dead. JAX
      then ends the others, whatever they are doing.

  Raises:
    ProcessError: If the job cannot be joined.
  """
  bind = None
  if coordinator:
    bind = os.environ.get(BIND) or coordinator
    _check_address(coordinator, process, bind)
  try:
    with _notice(coordinator or environment()):
      jax.distributed.initialize(
        coordinator,
        processes,
        process,
        coordinator_bind_address=bind,
        initialization_timeout=JOINING_SECONDS,
        heartbeat_timeout_seconds=heartbeat,
        shutdown_timeout_seconds=ENDING_SECONDS,
      )
  except Exception as error:  # of gRPC, metadata servers, cluster interfaces
    job = coordinator or f'the job that {environment()} describes'
    raise ProcessError(
      f'cannot join {job}: {str(error).strip().splitlines()[0]}\nCheck that '
      'process 0 runs, that its address can be reached and its port is free; '
      '--distributed=off runs this process by itself.'
    ) from error


def _check_address(coordinator: str, process: int | None, bind: str):
  """Raises ProcessError if the job cannot meet there; JAX would crash.

  Process 0 must be able to listen, the others wait until it does.
  """
  if process == 0:
    return _check_listening(bind)
  host, _, port = coordinator.rpartition(':')
  end = time.monotonic() + JOINING_SECONDS
  with _notice(coordinator):
    while not _answers(host.strip('[]'), int(port)):
      if time.monotonic() > end:
        raise ProcessError(
          f'process 0 has not answered at {coordinator} for '
          f'{JOINING_SECONDS} s: check that it runs, and that this address is '
          'its host and can be reached from here'
        )
      time.sleep(0.5)


def _check_listening(address: str):
  host, _, port = address.rpartition(':')
  try:
    kind = socket.SOCK_STREAM
    family, *_, place = socket.getaddrinfo(
      host.strip('[]'), int(port), type=kind
    )[0]
    with socket.socket(family, kind) as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      probe.bind(place)
  except OSError as error:
    remedy = 'Give all processes another port in --coordinator.'
    if error.errno != errno.EADDRINUSE:
      remedy = (
        'Give all processes an address of its own host in --coordinator; where '
        f'they reach it under another one, set {BIND}=HOST:PORT for process 0.'
      )
    raise ProcessError(
      f'process 0 cannot listen at {address}: {error.strerror}. {remedy}'
    ) from error


def _answers(host: str, port: int) -> bool:
  try:
    socket.create_connection((host, port), timeout=5).close()
  except OSError:
    return False
  return True


@contextlib.contextmanager
def _notice(job: str | None):
  """Says that this process waits for others, unless that ends soon."""
  text = (
    f'waiting for the other processes of {job}, {JOINING_SECONDS} s at most'
  )
  timer = threading.Timer(NOTICE_SECONDS, print, [text], {'file': sys.stderr})
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


def check_count(expected: int | None):
  """Raises ProcessError unless the job has as many processes as were meant."""
  if expected not in (None, count()):
    raise ProcessError(
      f'process {index()} was started with --processes={expected}, but its job '
      f'has {count()}: give all of them the same number'
    )


def lost(error: Exception) -> ProcessError:
  """What to raise when this process cannot reach another one any more."""
  first = (str(error).splitlines() or [''])[0][:300]
  return ProcessError(
    f'process {index()} cannot go on: {first}\nProbably another process has '
    'ended or cannot be reached; its own output may say why. Run the same '
    'commands to resume from the last checkpoint.'
  )


def is_lost(error: Exception) -> bool:
  """Whether an error is that of a broken connection between processes."""
  return count() > 1 and any(
    word in str(error) for word in ('Gloo', 'closed by peer', 'NCCL')
  )


def count() -> int:
  """Number of processes of the job."""
  return jax.process_count() if jax.distributed.is_initialized() else 1


def index() -> int:
  """Which of them this is."""
  return jax.process_index() if jax.distributed.is_initialized() else 0


def any_of(flag: bool) -> bool:
  """Whether it is true in any process. All must call this."""
  if count() == 1:
    return bool(flag)
  return bool(multihost_utils.process_allgather(np.int32(bool(flag))).any())


def all_same(value: str) -> bool:
  """Whether it is the same in all processes. All must call this."""
  if count() == 1:
    return True
  code = np.uint32(zlib.crc32(value.encode()))
  return len(set(multihost_utils.process_allgather(code).tolist())) == 1


def by_one(write: Callable) -> Callable:
  """Decorates a function that writes files: process 0 alone runs it.

  All must call it, and it ends for all at once, as a failure if it fails. What
  it calls may be decorated too.
  """

  @functools.wraps(write)
  def wrapped(*args, **kwargs):
    if count() == 1 or _writing:
      return write(*args, **kwargs)
    error, result = None, None
    if index() == 0:
      _writing.append(write)
      try:
        result = write(*args, **kwargs)
      except Exception as failure:
        error = failure
      finally:
        _writing.pop()
    failed = any_of(error is not None)
    if error is not None:
      raise error
    if failed:
      raise ProcessError('process 0 has failed; its output says why')
    return result

  return wrapped


_writing: list[Callable] = []  # what `by_one` is running in this process


def wait_until_visible(path: pathlib.Path):
  """Waits until a file that process 0 has written is there for this one.

  Raises:
    ProcessError: If it does not appear.
  """
  end = time.monotonic() + VISIBLE_SECONDS
  while count() > 1 and not path.exists():
    if time.monotonic() > end:
      raise ProcessError(
        f'process 0 has written {path}, which process {index()} does not see: '
        'put --workdir on a file system that all hosts share'
      )
    time.sleep(0.2)


def check_shared(folder: pathlib.Path):
  """Raises ProcessError unless all processes see the same files in a folder."""
  if count() == 1:
    return
  patterns = ('*', 'predictions/*', 'checkpoints/*', 'checkpoints/*/*/*')
  end = time.monotonic() + VISIBLE_SECONDS
  while True:
    names = sorted(str(f) for p in patterns for f in folder.glob(p))
    if all_same('\n'.join(names)):
      return
    if any_of(time.monotonic() > end):
      raise ProcessError(
        f'the processes see different files in {folder}: put --workdir on a '
        'file system that all hosts share'
      )
    time.sleep(1)


_polls = itertools.count(10**9)  # above all numbers of checkpoints
_steps: set[int] = set()


def preempted(step: int) -> bool:
  """Whether JAX's coordination service reports a SIGTERM of any process.

  The service tells a process that asks under the number after the largest that
  anybody had asked under. Orbax asks it too, when it saves, under the number of
  the checkpoint; so a notice that comes while all are saving waits there.

  Args:
    step: Number of the latest checkpoint.
  """
  if count() == 1:
    return False
  _steps.update((step, step + 1))
  numbers = (*_steps, next(_polls))  # the largest last
  return any(
    [multihost_utils.reached_preemption_sync_point(n) for n in numbers]
  )


def leave() -> None:
  """Waits for the other processes at the end that all have agreed on."""
  if jax.distributed.is_initialized():
    jax.distributed.shutdown()


def abandon(code: int) -> int:
  """Ends this process, if it is one of several, without waiting for them.

  They may wait for it, and notice by a broken connection or by its silence.

  Returns:
    `code`, for a process by itself.
  """
  if not jax.distributed.is_initialized():
    return code
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError):  # whoever read it is gone
      stream.flush()
  os._exit(code)
