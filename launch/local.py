"""Starts emojax as several processes on this machine, on CPU devices.

  python launch/local.py --processes=2 --devices=2 -- \
    --config=configs/gen.py:tiny --workdir=runs/local

starts 2 processes of 2 devices each; what follows `--` goes to `emojax.main`.
Their output is relayed with the number of the process before each line. When
one of them fails, all are ended. Ctrl-C and SIGTERM let them save at the end of
the segment; Ctrl-C once more stops them at once. The same command resumes.

It shows on one machine what a job on several does, and uses them no better than
`python -m emojax.main` does by itself: `tiny` takes some minutes on two cores,
most of them to compile the program in every process. Devices beyond the number of
members have nothing to do.
"""

import argparse
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 10.0  # for the others to say why they stop too
OURS = ('--coordinator', '--processes', '--process', '--distributed')


def parse(argv: list[str]) -> argparse.Namespace:
  """Reads the arguments; ends the program if they make no sense."""
  parser = argparse.ArgumentParser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    usage='%(prog)s --processes=N --devices=D -- ARGUMENTS OF emojax.main',
    allow_abbrev=False,
  )
  parser.add_argument('--processes', type=int, default=2)
  parser.add_argument('--devices', type=int, default=1, help='of each process')
  parser.add_argument('--port', type=int, default=0, help='0: a free one')
  parser.add_argument(
    '--program', default='', help='a file to run in place of emojax.main'
  )
  own, rest = argv, []
  if '--' in argv:
    own, rest = argv[: argv.index('--')], argv[argv.index('--') + 1 :]
  args = parser.parse_args(own)
  args.arguments = rest
  for name in ('processes', 'devices'):
    if getattr(args, name) < 1:
      parser.error(f'--{name}={getattr(args, name)}: expected at least 1')
  if not rest:
    parser.error('no arguments for emojax.main; they come after --')
  for argument in rest:
    if argument.split('=')[0] in OURS:
      parser.error(f'{argument} after --: this program gives it by itself')
  if args.program and not pathlib.Path(args.program).is_file():
    parser.error(f'--program={args.program} is not a file')
  args.port = _checked_port(parser, args.port)
  return args


def _checked_port(parser, port: int) -> int:
  """The port, if it is free, or a free one for 0."""
  with socket.socket() as probe:
    # As the server does: a port that was in use a moment ago will do.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      probe.bind(('127.0.0.1', port))
    except (OSError, OverflowError) as error:
      parser.error(f'--port={port} cannot be used: {error}')
    return probe.getsockname()[1]


def start(args: argparse.Namespace, number: int) -> subprocess.Popen:
  """Starts one process, in a session of its own: signals come through us."""
  program = [args.program] if args.program else ['-m', 'emojax.main']
  flags = os.environ.get('XLA_FLAGS', '')
  devices = f'--xla_force_host_platform_device_count={args.devices}'
  return subprocess.Popen(
    [
      sys.executable,
      *program,
      *args.arguments,
      f'--coordinator=127.0.0.1:{args.port}',
      f'--processes={args.processes}',
      f'--process={number}',
    ],
    env=os.environ
    | {
      'JAX_PLATFORMS': 'cpu',
      'PYTHONUNBUFFERED': '1',
      'XLA_FLAGS': f'{flags} {devices}',  # the last one counts
    },
    stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    start_new_session=True,
    preexec_fn=_end_with_parent if sys.platform == 'linux' else None,
    text=True,
    errors='replace',
  )


def _end_with_parent():
  """Asks Linux to send this process SIGTERM when the launcher is killed."""
  ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def relay(process: subprocess.Popen, number: int, lock: threading.Lock):
  """Prints a process's lines with its number until it closes its output."""
  for line in process.stdout:
    with lock:
      print(f'[{number}] {line.rstrip()}', flush=True)


def forward(processes: list[subprocess.Popen]):
  """Hands SIGINT and SIGTERM on to all processes."""

  def handle(number, frame):
    del frame
    for process in processes:
      if process.poll() is None:
        process.send_signal(number)

  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, handle)


def wait(processes: list[subprocess.Popen]) -> int:
  """Waits for all; after a failure of one ends the others; the exit code."""
  failed, deadline, ended = [], 0.0, False
  while None in [process.poll() for process in processes]:
    if not ended:
      failed = [p for p in processes if p.returncode not in (None, 0)]
    if failed and not deadline:
      deadline = time.monotonic() + GRACE_SECONDS
    if failed and not ended and time.monotonic() > deadline:
      for process in processes:
        if process.poll() is None:
          process.kill()
          ended = True
    time.sleep(0.1)
  codes = [process.returncode for process in processes]
  if not ended:
    failed = [process for process in processes if process.returncode]
  if not failed:
    return 0
  # The others may notice a process that was killed before we do: the one that
  # a signal has ended is the cause.
  cause = min(failed, key=lambda process: process.returncode)
  if ended or len(set(codes)) > 1:  # else all were asked to, and have said so
    _report(processes.index(cause), cause.returncode)
  return 128 - cause.returncode if cause.returncode < 0 else cause.returncode


def _report(number: int, code: int):
  """Says which process ended the job, and how."""
  how = f'with exit code {code}'
  why = ' Its last lines above say why.'
  if code < 0:
    how, why = f'by {signal.Signals(-code).name}', ''
  print(
    f'process {number} was ended {how}, so the job has stopped.{why} The same '
    'command resumes the run.',
    file=sys.stderr,
  )


def main(argv: list[str]) -> int:
  """Runs a job; returns the exit code of the process that ended it."""
  args = parse(argv)
  processes: list[subprocess.Popen] = []
  forward(processes)
  try:
    for number in range(args.processes):
      processes.append(start(args, number))
    lock = threading.Lock()
    threads = [
      threading.Thread(target=relay, args=(process, number, lock))
      for number, process in enumerate(processes)
    ]
    for thread in threads:
      thread.start()
    code = wait(processes)
    for thread in threads:
      thread.join()
  finally:
    for process in processes:
      if process.poll() is None:
        process.kill()
  return code


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
