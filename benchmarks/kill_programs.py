"""The programs that `benchmarks.kill` kills, with something small to do."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

NAMES = ('main', 'evaluate', 'export', 'prepare')


@dataclasses.dataclass(frozen=True)
class Program:
  """A program to be killed.

  Attributes:
    command: Its command line.
    out: The folder that it writes.
    sign: A file or folder in `out` by which one sees that it is at work.
    resumes: Whether it goes on where it was killed, or begins again.
    at_once: Whether its folder appears when all is done; then another life of it
      is refused.
  """

  command: list[str]
  out: pathlib.Path
  sign: str = '.'
  resumes: bool = False
  at_once: bool = False

  def trace(self) -> list[tuple[str, int]]:
    """What is in and beside the folder, and when it was changed."""
    found = []
    for root in self.out.parent.glob(f'*{self.out.name}*'):  # and hidden ones
      for folder, _, names in os.walk(root):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
          with contextlib.suppress(FileNotFoundError):  # renamed just now
            found.append((path, os.lstat(path).st_mtime_ns))
    return sorted(found)

  def state(self) -> str:
    """How far a killed process had come, from its files."""
    files = sorted(p for p in self.out.rglob('*') if p.is_file())
    if (self.out / 'results.json').exists():
      return 'while writing the report'
    log, epochs = self.out / 'metrics.jsonl', set()
    for line in log.read_text().splitlines() if log.exists() else ():
      if line.endswith('}'):
        entry = json.loads(line)
        epochs.add((entry['generation'], entry['epoch']))
    if epochs:
      return f'{len(epochs)} epochs logged, {len(files)} files'
    return f'{len(files)} files'


def make(
  name: str, folder: pathlib.Path, config: str, launcher: str, flags: list[str]
) -> Program:
  """Prepares what a program works on; see `Program`."""
  out = folder / 'out'
  if name == 'main':
    command = _command('emojax.main', launcher)
    command += [f'--config={config}', f'--workdir={out}', *flags]
    return Program(command, out, 'metrics.jsonl', resumes=True)
  if name == 'prepare':
    from emojax.data import affwild2_writer  # the others need not wait for it

    tree = affwild2_writer.write_tree(folder / 'faces', 8, 60, size=32)
    command = _command('emojax.data.prepare', launcher)
    settings = ['--size=32', '--segment_frames=16', '--workers=2']
    settings += ['--audio=log_mel', '--option=fps=30']
    command += ['affwild2', f'--source={tree}', f'--out={out}', *settings]
    return Program(command, out, resumes=True)
  run = folder / 'run'
  training = _command('emojax.main', launcher)
  training += [f'--config={config}', f'--workdir={run}', *flags]
  subprocess.run(training, check=True, stdout=subprocess.DEVNULL)
  command = _command(f'emojax.{name}', launcher)
  command += [f'--workdir={run}', f'--out={out}']
  return Program(command, out, at_once=name == 'export')


def _command(module: str, launcher: str) -> list[str]:
  return [sys.executable, *([launcher, module] if launcher else ['-m', module])]
