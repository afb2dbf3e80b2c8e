"""Kills programs with SIGKILL at random moments and compares what comes of it.

  python -m benchmarks.kill --program=main --kills=10 --seed=0

First runs a program (main, evaluate, export or prepare) without interruption, then
again at the same place, where every life of it is stopped and continued once
(SIGSTOP, SIGCONT) and then killed at random, and started anew by the same command.
At last two processes are started at once in one folder. What is written must be
equal byte for byte each time, but for timings and for what says when and by which
version a checkpoint was written; ends with exit code 1 if it is not. Flags that
are not listed by --help go to `emojax.main`, e.g. --config.generations=2.
"""

import argparse
import json
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from benchmarks import kill_programs

# Not compared byte for byte: times of checkpoints, timings in reports (but
# `results.json` without them is compared).
APART = re.compile(
  r'checkpoints/.*|report\.(html|md)|\.lock|(config|timings)\.json'
)
PAUSE = 0.3  # seconds for which a process is stopped


def start(command, log: pathlib.Path):
  """Starts a program; what it prints is kept in a file."""
  with log.open('a') as file:
    return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def check(code: int, log: pathlib.Path):
  """Ends the campaign if a program failed by itself."""
  if code:
    sys.exit(f'it ended with exit code {code}:\n{log.read_text()[-3000:]}')


def uninterrupted(program, log: pathlib.Path) -> tuple[float, float]:
  """Runs to the end; returns seconds until the first sign of work and in all."""
  begun, first = time.monotonic(), None
  process = start(program.command, log)
  while process.poll() is None:
    if first is None and (program.out / program.sign).exists():
      first = time.monotonic() - begun
    time.sleep(0.02)
  check(process.returncode, log)
  total = time.monotonic() - begun
  return first or total, total


def lived(process: subprocess.Popen, seconds: float) -> bool:
  """Waits; whether the process has ended by itself."""
  try:
    process.wait(seconds)
  except subprocess.TimeoutExpired:
    return False
  return True


def killed(process: subprocess.Popen, seconds: float, rng) -> bool:
  """Stops, continues and kills a process unless it ends; whether it was."""
  pause = rng.uniform(0, seconds)
  if lived(process, pause):
    return False
  process.send_signal(signal.SIGSTOP)
  time.sleep(PAUSE)
  process.send_signal(signal.SIGCONT)
  if lived(process, seconds - pause):
    return False
  process.kill()
  process.wait()
  return True


def at_work(process: subprocess.Popen, program, patience: float) -> bool:
  """Waits until this life has changed its folder; not for long, now and then.

  Moments are counted from there, as what an interpreter takes to start varies.
  """
  before, deadline = program.trace(), time.monotonic() + 3 * patience
  while process.poll() is None and time.monotonic() < deadline:
    if program.trace() != before:
      return True
    time.sleep(0.02)
  return False


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  """What is compared of a folder: relative path -> bytes."""
  found = {
    path.relative_to(folder).as_posix(): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }
  found = {k: v for k, v in found.items() if not APART.fullmatch(k)}
  if 'results.json' in found:
    found['results.json'] = _untimed(found['results.json'])
  return found


def _untimed(data: bytes) -> bytes:
  """results.json without what the clock says; nothing if it is cut off."""
  try:
    values = json.loads(data)
  except ValueError:
    return b''
  values.pop('timings', None)
  return json.dumps(values).encode()


def differences(found: pathlib.Path, expected: dict[str, bytes]) -> list[str]:
  """Names of the files that differ."""
  here = contents(found)
  names = sorted(here.keys() | expected.keys())
  return [name for name in names if here.get(name) != expected.get(name)]


def torment(program, expected, log, kills, first, total, rng) -> list[str]:
  """Kills until `kills` have hit; returns the files that differ."""
  different, hits = [], 0
  while True:
    process = start(program.command, log)
    if hits == kills:
      check(process.wait(), log)
      return different + differences(program.out, expected)
    # Where a program goes on, every life does its share of the work on average.
    share = total - first
    if program.resumes:
      share *= min(1, 2 / kills)
    if at_work(process, program, rng.uniform(0.5, 1.5) * first):
      seconds = rng.uniform(0, share)
    else:
      seconds = rng.uniform(0, max(share, 0.2 * total))
    if killed(process, seconds, rng):
      hits += 1
      print(f'kill {hits}: {program.state()}', flush=True)
      if program.at_once and program.out.exists():  # killed after its work
        different += differences(program.out, expected)
        shutil.rmtree(program.out)
    else:
      check(process.returncode, log)  # finished: compare, and once more
      different += differences(program.out, expected)
      shutil.rmtree(program.out)


def rivals(program, expected, log) -> list[str]:
  """Starts two at once: one does it, the other may say that it cannot."""
  shutil.rmtree(program.out)
  logs = [log.with_suffix(f'.{i}') for i in range(2)]
  processes = [start(program.command, path) for path in logs]
  codes = [process.wait() for process in processes]
  texts = [path.read_text() for path in logs]
  if 0 not in codes or set(codes) > {0, 1}:
    return [f'two processes: exit codes {codes}:\n{texts[0]}\n{texts[1]}']
  for code, text in zip(codes, texts):
    if 'Traceback' in text or (code and 'error' not in text):
      return [f'two processes: {text[-2000:]}']
  print(f'two at once: exit codes {sorted(codes)}')
  return differences(program.out, expected)


def campaign(program, log: pathlib.Path, kills: int, rng) -> list[str]:
  """All of it; returns what differs."""
  # The first run compiles for all; a life is then as long as the reference's.
  uninterrupted(program, log)
  compiling = contents(program.out)
  shutil.rmtree(program.out)
  first, total = uninterrupted(program, log)
  print(f'uninterrupted: {total:.1f} s, at work after {first:.1f} s')
  expected = contents(program.out)
  shutil.rmtree(program.out)
  different = torment(program, expected, log, kills, first, total, rng)
  different += rivals(program, expected, log)
  shutil.rmtree(program.out)
  names = compiling.keys() | expected.keys()
  return different + sorted(
    f'{n} (of a cold start)'
    for n in names
    if compiling.get(n) != expected.get(n)
  )


def parser() -> argparse.ArgumentParser:
  made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = made.add_argument
  add('--program', default='main', choices=kill_programs.NAMES)
  add('--config', default='configs/gen.py:tiny', help='of the run')
  add('--kills', type=int, default=5)
  add('--seed', type=int, default=None, help='of the moments')
  add('--out', help='folder to keep everything in; must not exist')
  add(
    '--launcher',
    default='',
    help='Python file that is given the name of a module to run, and its '
    'arguments, in the place of `python -m`',
  )
  return made


def main() -> None:
  args, flags = parser().parse_known_args()
  out = pathlib.Path(args.out or tempfile.mkdtemp(prefix='emojax-kill-'))
  out.mkdir(parents=True, exist_ok=not args.out)
  options = args.config, args.launcher, flags
  program = kill_programs.make(args.program, out.resolve(), *options)
  rng = random.Random(args.seed)
  different = campaign(program, out / 'log.txt', args.kills, rng)
  if different:
    sys.exit(
      f'{args.program}: different after {args.kills} kills: '
      f'{", ".join(different)}; see {out}'
    )
  print(f'{args.program}: {args.kills} kills, then equal byte for byte')
  if not args.out:
    shutil.rmtree(out)


if __name__ == '__main__':
  main()
