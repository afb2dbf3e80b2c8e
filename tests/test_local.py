"""launch/local.py with programs that take no time: arguments, ends, signals."""

import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

LOCAL = pathlib.Path(__file__).parent.parent / 'launch' / 'local.py'
# Knows its number from the last flag.
PROGRAM = """
import os, signal, sys, time
number = int(sys.argv[-1].split('=')[1])
print('hello', sys.argv[1], os.environ['XLA_FLAGS'].split()[-1], flush=True)
{}
"""
# In short pieces: a signal that comes between Python's look for one and the call
# that sleeps is handled only when that call returns.
SLEEP = '[time.sleep(0.1) for _ in range(600)]'


def start(tmp_path, body: str, *options: str, argument='x', grace=30.0):
  program = tmp_path / 'program.py'
  program.write_text(PROGRAM.format(body))
  code = (
    f'import runpy, sys; sys.argv[0] = {str(LOCAL)!r}; '
    f'local = runpy.run_path({str(LOCAL)!r}); '
    f"local['wait'].__globals__['GRACE_SECONDS'] = {grace}; "
    "sys.exit(local['main'](sys.argv[1:]))"
  )
  command = [sys.executable, '-c', code, f'--program={program}', *options]
  return subprocess.Popen(
    [*command, '--', argument],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def ended(process) -> tuple[int, str]:
  out, _ = process.communicate(timeout=40)
  return process.returncode, out


def wait_for(process, count: int):
  """Reads lines until so many processes have said hello."""
  lines = [process.stdout.readline() for _ in range(count)]
  assert all('hello' in line for line in lines), lines


def test_relays_output_with_the_number(tmp_path):
  code, out = ended(
    start(tmp_path, 'print(number, end="")', '--processes=3', '--devices=5')
  )
  assert code == 0, out
  flag = '--xla_force_host_platform_device_count=5'
  expected = [f'[{k}] hello x {flag}' for k in range(3)]
  expected += [f'[{k}] {k}' for k in range(3)]
  assert sorted(out.splitlines()) == sorted(expected)


@pytest.mark.parametrize(
  ('body', 'code', 'how'),
  [
    ('sys.exit(3)', 3, 'with exit code 3'),
    ('os.kill(os.getpid(), signal.SIGKILL)', 137, 'by SIGKILL'),
    ('1 / 0', 1, 'with exit code 1'),
  ],
)
def test_one_that_fails_ends_all(tmp_path, body, code, how):
  begun = time.monotonic()
  found, out = ended(
    start(tmp_path, f'{SLEEP} if number != 1 else None\n{body}', grace=0.5)
  )
  assert time.monotonic() - begun < 30
  assert found == code
  assert f'process 1 was ended {how}' in out
  assert 'The same command resumes' in out


def test_all_that_stop_alike_need_no_comment(tmp_path):
  code, out = ended(start(tmp_path, 'sys.exit(130)'))
  assert code == 130
  assert 'was ended' not in out


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_every_process(tmp_path, number):
  body = f"""
def stop(*_):
  print('saved', flush=True)
  os._exit(130)
signal.signal({int(number)}, stop)
print('hello again', flush=True)
{SLEEP}"""
  process = start(tmp_path, body)
  wait_for(process, 4)
  process.send_signal(number)
  code, out = ended(process)
  assert code == 130
  assert sorted(out.splitlines()) == ['[0] saved', '[1] saved']


@pytest.mark.skipif(sys.platform != 'linux', reason='PR_SET_PDEATHSIG')
def test_a_killed_launcher_takes_its_processes_along(tmp_path):
  marker = tmp_path / 'noticed'
  marker.touch()
  body = f"""
def stop(*_):
  open({str(marker)!r}, 'a').write('x')
  os._exit(130)
signal.signal(signal.SIGTERM, stop)
print('hello again', flush=True)
{SLEEP}"""
  process = start(tmp_path, body)
  wait_for(process, 4)
  process.kill()
  process.communicate()
  end = time.monotonic() + 20
  while time.monotonic() < end and marker.read_text() != 'xx':
    time.sleep(0.1)
  assert marker.read_text() == 'xx'


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    ([], 'come after --'),
    (['--'], 'come after --'),
    (['--processes=0', '--', 'x'], 'expected at least 1'),
    (['--devices=-1', '--', 'x'], 'expected at least 1'),
    (['--proceses=2', '--', 'x'], 'unrecognized arguments: --proceses=2'),
    (['--config=x'], 'unrecognized arguments: --config=x'),
    (['--', '--processes=3'], 'gives it by itself'),
    (['--program=none.py', '--', 'x'], 'is not a file'),
    (['--port=99999', '--', 'x'], 'cannot be used'),
  ],
)
def test_wrong_arguments(arguments, message):
  process = subprocess.run(
    [sys.executable, LOCAL, *arguments], capture_output=True, text=True
  )
  assert process.returncode == 2
  assert message in process.stderr
  assert 'usage: ' in process.stderr


def test_port_in_use():
  with socket.socket() as other:
    other.bind(('127.0.0.1', 0))
    other.listen()
    port = other.getsockname()[1]
    process = subprocess.run(
      [sys.executable, LOCAL, f'--port={port}', '--', 'x'],
      capture_output=True,
      text=True,
    )
  assert process.returncode == 2
  assert f'--port={port} cannot be used' in process.stderr
