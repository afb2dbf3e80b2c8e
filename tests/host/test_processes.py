"""What several processes agree on, with the other processes played by hand."""

import os
import socket
import subprocess
import sys
import threading
import time
import types

import numpy as np
import pytest
from jax.experimental import multihost_utils

from emojax.engine import checkpoint, stack
from emojax.host import processes, signals
from emojax.host.processes import ProcessError
from emojax.runtime import workdir


@pytest.mark.parametrize(
  ('variables', 'name'),
  [
    ({}, None),
    ({'SLURM_JOB_ID': '7', 'SLURM_NTASKS': '4'}, None),  # outside of srun
    ({'SLURM_STEP_NODELIST': 'n1', 'SLURM_NTASKS': '1'}, None),
    ({'SLURM_STEP_NODELIST': 'n[1-2]', 'SLURM_NTASKS': '2'}, 'SLURM'),
    ({'OMPI_COMM_WORLD_SIZE': '2'}, 'Open MPI'),
    ({'KUBERNETES_SERVICE_HOST': '10.0.0.1'}, None),  # a notebook in a pod
    (
      {'KUBERNETES_SERVICE_HOST': '10.0.0.1', 'JOB_COMPLETION_INDEX': '0'},
      'Kubernetes',
    ),
    ({'TPU_WORKER_HOSTNAMES': 'localhost'}, None),
    ({'TPU_WORKER_HOSTNAMES': 'a,b'}, 'TPU'),
    ({'TPU_PROCESS_ADDRESSES': 'a:1,b:1', 'TPU_WORKER_ID': '0'}, 'TPU'),
  ],
)
def test_environment(variables, name, monkeypatch):
  monkeypatch.setattr(processes.importlib.util, 'find_spec', lambda _: None)
  assert processes.environment(variables) == name


def test_a_tpu_vm_says_nothing_in_its_environment(monkeypatch):
  monkeypatch.setattr(processes.importlib.util, 'find_spec', lambda _: 'here')
  assert processes.environment({}) == 'TPU'
  assert processes.environment({'TPU_SKIP_MDS_QUERY': '1'}) is None


def test_a_process_by_itself(tmp_path):
  assert (processes.count(), processes.index()) == (1, 0)
  assert processes.any_of(True)
  assert not processes.any_of(False)
  assert processes.all_same('x')
  assert not processes.preempted(3)
  assert processes.by_one(lambda x: x + 1)(2) == 3
  assert processes.abandon(4) == 4
  processes.leave()
  processes.wait_until_visible(tmp_path / 'none')
  processes.check_shared(tmp_path)


@pytest.fixture
def job(monkeypatch):
  """One of two processes; the other one says what is set here."""
  other = types.SimpleNamespace(says=0, said=[])
  monkeypatch.setattr(processes, 'count', lambda: 2)
  monkeypatch.setattr(processes, 'index', lambda: other.index)
  monkeypatch.setattr(processes, 'VISIBLE_SECONDS', 0)
  other.index = 0

  def gather(value):
    other.said.append(int(value))
    theirs = value if other.says == 'the same' else other.says
    return np.array([value, theirs])

  monkeypatch.setattr(multihost_utils, 'process_allgather', gather)
  return other


def test_any_of(job):
  assert processes.any_of(True)
  assert not processes.any_of(False)
  job.says = 1
  assert processes.any_of(False)


def test_process_0_writes_and_all_wait(job, tmp_path):
  path = tmp_path / 'predictions' / 'x.npz'
  workdir.write_arrays(path, {'a': np.arange(3)})
  assert job.said == [0]
  path.unlink()
  job.index = 1
  with pytest.raises(ProcessError, match='file system that all hosts share'):
    workdir.write_arrays(path, {'a': np.arange(3)})
  assert not path.exists()
  assert job.said == [0, 0]


def test_a_failure_of_the_writer_is_a_failure_of_all(job):
  @processes.by_one
  def write():
    raise OSError('the disk is full')

  with pytest.raises(OSError, match='the disk is full'):
    write()
  assert job.said == [1]
  job.index, job.says = 1, 1
  with pytest.raises(ProcessError, match='process 0 has failed'):
    write()


def test_a_writer_within_a_writer_does_not_wait_again(job):
  outer = processes.by_one(lambda: inner() + 1)
  inner = processes.by_one(lambda: 1)
  assert outer() == 2
  assert job.said == [0]
  with pytest.raises(ZeroDivisionError):
    processes.by_one(lambda: 1 / 0)()
  assert inner() == 1  # and a failure is not remembered
  assert job.said == [0, 1, 0]


def test_folders_and_configurations_must_be_the_same(job, tmp_path):
  job.says = 'the same'
  folder = workdir.Workdir(tmp_path / 'run', {'seed': 1})
  folder.open()
  assert (tmp_path / 'run' / 'config.json').exists()
  job.says = 0
  with pytest.raises(ProcessError, match='different configurations'):
    folder.open()
  with pytest.raises(ProcessError, match='see different files'):
    processes.check_shared(tmp_path / 'run')


class Service:
  """JAX's coordination service as far as notices go.

  It takes the largest number under which any process has asked so far, and
  says yes to the next one.
  """

  def __init__(self):
    self.latest, self.sync = 0, None

  def notice(self):
    self.sync = self.latest + 1

  def reached(self, number):
    self.latest = number
    return self.sync == number


@pytest.mark.parametrize('moment', ['training', 'saving'])
def test_a_notice_is_heard_at_the_end_of_the_segment(job, monkeypatch, moment):
  service = Service()
  monkeypatch.setattr(
    multihost_utils, 'reached_preemption_sync_point', service.reached
  )
  monkeypatch.setattr(processes, '_steps', set())
  for epoch in (1, 2, 3, 1):  # of two stacks
    service.reached(epoch)  # by Orbax, when it saves
    assert not processes.preempted(epoch)
  if moment == 'training':
    service.notice()
  service.reached(2)
  if moment == 'saving':
    service.notice()
  assert processes.preempted(2)


def test_all_stop_when_one_is_asked_to(job, monkeypatch):
  monkeypatch.setattr(
    multihost_utils, 'reached_preemption_sync_point', lambda _: False
  )
  with signals.StopFlag() as stop:
    assert stop.asked(1) == ''
    job.says = 1
    assert 'another process' in stop.asked(2)
    job.says = 0
    signals.signal.raise_signal(signals.signal.SIGINT)
    assert stop.asked(3) == 'SIGINT'


def test_sigterm_is_left_to_jax(job):
  before = signals.signal.getsignal(signals.signal.SIGTERM)
  with signals.StopFlag():
    assert signals.signal.getsignal(signals.signal.SIGTERM) is before


def devices(*counts):
  return [
    types.SimpleNamespace(process_index=k, number=(k, i))
    for k, count in enumerate(counts)
    for i in range(count)
  ]


@pytest.mark.parametrize(
  ('counts', 'batch', 'order'),
  [
    ((3,), 1, [[(0, 0)], [(0, 1)], [(0, 2)]]),
    # Two members use both processes.
    ((2, 2), 1, [[(0, 0)], [(1, 0)], [(0, 1)], [(1, 1)]]),
    # A batch stays within a process where it can ...
    ((2, 2), 2, [[(0, 0), (0, 1)], [(1, 0), (1, 1)]]),
    # ... and spans processes where it cannot.
    ((1, 1, 1, 1), 2, [[(0, 0), (1, 0)], [(2, 0), (3, 0)]]),
    ((3, 3), 2, [[(0, 0), (0, 1)], [(1, 1), (1, 2)], [(0, 2), (1, 0)]]),
  ],
)
def test_rows_of_a_mesh_take_turns(counts, batch, order):
  rows = stack._rows(devices(*counts), batch)
  assert [[d.number for d in row] for row in rows] == order


def test_a_process_without_members_is_an_error(job):
  with pytest.raises(ValueError, match=r'leaves processes \[1\] without'):
    stack.make_mesh(2)


def test_process_0_needs_a_free_port():
  with socket.socket() as other:
    other.bind(('', 0))
    other.listen()
    address = f'127.0.0.1:{other.getsockname()[1]}'
    with pytest.raises(
      ProcessError, match=f'listen at {address}: .* another p'
    ):
      processes.join(address, 2, 0)


@pytest.mark.parametrize(
  'host',
  ['192.0.2.1', '[2001:db8::1]', 'nowhere.invalid'],  # reserved for examples
)
def test_process_0_listens_at_an_address_of_its_host(host):
  with pytest.raises(ProcessError, match=r'address of its own host.*BIND_ADDR'):
    processes.join(f'{host}:1234', 2, 0)


def free_port():
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


LISTEN = """
import sys
from emojax.host import processes
processes.join(sys.argv[1], 2, 0)
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='needs a second loopback')
@pytest.mark.parametrize('everywhere', [False, True])
def test_process_0_listens_nowhere_else(everywhere):
  """A stranger's process, who reaches the host elsewhere, cannot join."""
  port = free_port()
  variables = os.environ | {'JAX_PLATFORMS': 'cpu'}
  if everywhere:
    variables[processes.BIND] = f'0.0.0.0:{port}'
  command = [sys.executable, '-c', LISTEN, f'127.0.0.1:{port}']
  with subprocess.Popen(command, env=variables) as process:
    try:
      deadline = time.monotonic() + 120
      while not processes._answers('127.0.0.1', port):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
      # All of 127.0.0.0/8 is this host.
      assert processes._answers('127.0.0.2', port) == everywhere
    finally:
      process.kill()


def test_process_0_must_answer(monkeypatch, capsys):
  monkeypatch.setattr(processes, 'JOINING_SECONDS', 0.2)
  monkeypatch.setattr(processes, 'NOTICE_SECONDS', 0.01)
  with socket.socket() as nobody:
    nobody.bind(('127.0.0.1', 0))  # and does not listen
    address = f'127.0.0.1:{nobody.getsockname()[1]}'
    with pytest.raises(ProcessError, match=f'not answered at {address} for'):
      processes.join(address, 2, 1)
  assert f'waiting for the other processes of {address}' in (
    capsys.readouterr().err
  )


def test_the_others_wait_until_process_0_listens(monkeypatch):
  given = {}
  monkeypatch.setattr(
    'jax.distributed.initialize', lambda *job, **_: given.update(job=job)
  )
  with socket.socket() as server:
    server.bind(('127.0.0.1', 0))
    address = f'127.0.0.1:{server.getsockname()[1]}'
    timer = threading.Timer(0.6, server.listen)
    timer.start()
    processes.join(address, 2, 1)
    timer.join()
  assert given['job'] == (address, 2, 1)


def test_all_mean_the_same_number_of_processes(job):
  processes.check_count(2)
  processes.check_count(None)
  with pytest.raises(ProcessError, match='--processes=3, but its job has 2'):
    processes.check_count(3)


def test_a_broken_connection_is_no_fault_of_a_disk(job, tmp_path):
  broken = ValueError('UNKNOWN: Gloo AllGather failed: closed by peer')
  with pytest.raises(ProcessError, match='another process has ended'):
    with checkpoint._explained('cannot write it'):
      raise broken
  with pytest.raises(checkpoint.CheckpointError, match='cannot write it'):
    with checkpoint._explained('cannot write it'):
      raise ValueError('x')
