"""Kills a run with SIGKILL at random moments and compares what comes of it.

  python -m benchmarks.kill --config=configs/gen.py:tiny --kills=5

First runs without interruption, then again in another folder where the process
is killed at random and started anew by the same command. The results (without
timings), predictions, soft labels, curves and metrics of the two must be equal
byte for byte; ends with exit code 1 if they are not. Flags that are not listed
by --help go to `emojax.main`, e.g. --config.generations=2.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

COMPARED = ('metrics.jsonl', 'curves.json', 'predictions/*.npz')


def start(config: str, folder: pathlib.Path, flags: list[str]):
  """Starts a run; what it prints is kept beside its folder."""
  log = folder.with_suffix('.log').open('a')
  command = [sys.executable, '-m', 'emojax.main', f'--config={config}']
  return subprocess.Popen(
    [*command, f'--workdir={folder}', *flags],
    stdout=log,
    stderr=subprocess.STDOUT,
  )


def check(code: int, folder: pathlib.Path):
  """Ends the program if a run failed by itself."""
  if code:
    log = folder.with_suffix('.log')
    sys.exit(f'the run ended with exit code {code}:\n{log.read_text()[-3000:]}')


def uninterrupted(config, folder, flags) -> tuple[float, float]:
  """Runs to the end; returns seconds until the first epoch and in all."""
  begun, first = time.monotonic(), None
  process = start(config, folder, flags)
  while process.poll() is None:
    if first is None and (folder / 'metrics.jsonl').exists():
      first = time.monotonic() - begun
    time.sleep(0.05)
  check(process.returncode, folder)
  total = time.monotonic() - begun
  return first or total, total


def killed(process: subprocess.Popen, seconds: float) -> bool:
  """Kills a process after some time unless it has ended; whether it was."""
  try:
    process.wait(seconds)
  except subprocess.TimeoutExpired:
    process.kill()
    process.wait()
    return True
  return False


def position(folder: pathlib.Path) -> str:
  """How far a killed run had come, from its files."""
  if (folder / 'results.json').exists():
    return 'while writing the report'
  log = folder / 'metrics.jsonl'
  epochs = set()
  for line in log.read_text().splitlines() if log.exists() else ():
    if line.endswith('}'):
      entry = json.loads(line)
      epochs.add((entry['generation'], entry['epoch']))
  predicted = sorted(p.stem for p in folder.glob('predictions/[!.]*.npz'))
  return f'{len(epochs)} epochs logged, predictions: {predicted or "none"}'


def differences(found: pathlib.Path, expected: pathlib.Path) -> list[str]:
  """Names of the files that differ."""
  names = sorted(
    {
      str(path.relative_to(folder))
      for folder in (found, expected)
      for pattern in COMPARED
      for path in folder.glob(pattern)
    }
  )
  different = [
    name for name in names if read(found / name) != read(expected / name)
  ]
  if results(found) != results(expected):
    different.append('results.json')
  return different


def read(path: pathlib.Path) -> bytes | None:
  return path.read_bytes() if path.exists() else None


def results(folder: pathlib.Path) -> str:
  """results.json without the timings."""
  values = json.loads((folder / 'results.json').read_text())
  del values['timings']
  return json.dumps(values)


def torment(config, folder, flags, kills, first, total, rng) -> list[str]:
  """Kills runs until `kills` have hit; returns the files that differ."""
  expected, different, hits = folder.with_name('uninterrupted'), [], 0
  while hits < kills or not (folder / 'report.html').exists():
    if (folder / 'report.html').exists():  # finished: compare, and once more
      different += differences(folder, expected)
      shutil.rmtree(folder)
    process = start(config, folder, flags)
    if hits == kills:
      check(process.wait(), folder)
      continue
    # On average every life does its share of the work.
    share = 2 * (total - first) / max(1, kills)
    seconds = first + rng.uniform(-0.2 * first, share)
    if killed(process, seconds):
      hits += 1
      print(
        f'kill {hits} after {seconds:5.1f} s: {position(folder)}', flush=True
      )
    else:
      check(process.returncode, folder)
  return different + differences(folder, expected)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--config', default='configs/gen.py:tiny')
  parser.add_argument('--kills', type=int, default=5)
  parser.add_argument('--seed', type=int, default=None, help='of the moments')
  parser.add_argument(
    '--out', help='folder to keep the runs in; must not exist'
  )
  args, flags = parser.parse_known_args()
  out = pathlib.Path(args.out or tempfile.mkdtemp(prefix='emojax-kill-'))
  out.mkdir(parents=True, exist_ok=not args.out)
  # The first run compiles for all; a life is then as long as the reference's.
  first, total = uninterrupted(args.config, out / 'compiling', flags)
  first, total = uninterrupted(args.config, out / 'uninterrupted', flags)
  print(f'uninterrupted: {total:.1f} s, the first epoch after {first:.1f} s')
  rng = random.Random(args.seed)
  folder = out / 'killed'
  different = torment(args.config, folder, flags, args.kills, first, total, rng)
  different += differences(out / 'compiling', out / 'uninterrupted')
  if different:
    sys.exit(
      f'different after {args.kills} kills: {", ".join(different)} in {out}'
    )
  print(
    f'{args.kills} kills, then equal byte for byte: results, predictions, metrics'
  )
  if not args.out:
    shutil.rmtree(out)


if __name__ == '__main__':
  main()
