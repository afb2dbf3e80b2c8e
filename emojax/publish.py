"""A finished run as a page of the documentation.

  python -m emojax.publish --workdir=runs/ferplus \
    --page=docs/results/ferplus.md --command='python -m emojax.main ...'

The page keeps what was written by hand: everything outside of the two marks is
left as it is, and everything between them is made of the run's files. Figures
go into a folder beside the page; examples, which may show people, do not.
"""

import argparse
import pathlib
import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emojax.experiments.distillation import contents
from emojax.experiments.distillation.report import read
from emojax.host import program, terminal
from emojax.report import markdown, page
from emojax.report.files import draw, read_json
from emojax.runtime import workdir
from emojax.settings import places

START, END = '<!-- made from the run -->', '<!-- end -->'
# Figures of people's faces begin with these.
PRIVATE = ('example', 'gallery', 'uncertain_')
PICTURE = re.compile(r'!\[.*\]\(figures/([^)]+)\.png\)\n\n\*.*\*\n')


def publish(
  folder: str | pathlib.Path,
  target: str | pathlib.Path,
  command: str,
  machine: str,
) -> pathlib.Path:
  """Writes the page, or renews its part between the marks.

  Args:
    folder: A finished run.
    target: The page, a Markdown file.
    command: What was run, with names instead of somebody's paths.
    machine: What it was run on.

  Returns:
    `target`.

  Raises:
    FileNotFoundError: The run has no results.
    ValueError: The page is there but lacks the marks.
  """
  folder, target = pathlib.Path(folder), pathlib.Path(target)
  figures = target.parent / 'figures' / target.stem
  figures.mkdir(parents=True, exist_ok=True)
  results = read_json(folder, 'results.json')
  if 'generations' in results:
    blocks = _blocks(folder, figures, command, machine)
    text = page.to_markdown('', blocks)
  else:
    config = read_json(folder, 'config.json')
    facts = page.Facts(list(_facts(results, config, command, machine)))
    text = page.to_markdown('', [page.Heading('How it was run'), facts])
    text += _report(folder, figures)
  made = f'{START}\n\n{text.split(chr(10), 2)[2].strip()}\n\n{END}'
  workdir.write_text(target, _placed(target, made))
  return target


def _blocks(folder, figures, command, machine) -> list[page.Block]:
  """The report of a run of generations, without its last section."""
  run = read(folder)
  pictures = draw(
    figures,
    (f for f in contents.figures(run) if not f[0].startswith(PRIVATE)),
  )
  pictures = {
    name: page.Picture(
      found.png, f'figures/{figures.name}/{name}.png', found.caption
    )
    for name, found in pictures.items()
  }
  blocks = contents.blocks(run, pictures)
  facts = _facts(run.results, run.config, command, machine)
  # The report ends with everything about the run; the page has it in short.
  blocks = [b for b in blocks if not isinstance(b, page.Facts)]
  blocks = [b for b in blocks if b != page.Heading('The run')]
  return [page.Heading('How it was run'), page.Facts(list(facts)), *blocks]


def _report(folder: pathlib.Path, figures: pathlib.Path) -> str:
  """report.md of any other run, without its title and its last section."""
  text = (folder / 'report.md').read_text().split('\n', 2)[2]
  text = text.split('\n## The run\n')[0]

  def place(match):
    name = match[1]
    if name.startswith(PRIVATE):
      return ''
    shutil.copyfile(folder / f'figures/{name}.png', figures / f'{name}.png')
    return match[0].replace('](figures/', f'](figures/{figures.name}/')

  return '\n' + PICTURE.sub(place, text)


def _placed(target: pathlib.Path, made: str) -> str:
  """The page's text with its generated part replaced."""
  if not target.exists():
    return f'# {target.stem}\n\n{made}\n'
  text = target.read_text()
  if text.count(START) != 1 or text.count(END) != 1:
    raise ValueError(
      f'{target}: expected the lines {START!r} and {END!r} once each, between '
      'which the page is made from the run'
    )
  before, rest = text.split(START)
  return before + made + rest.split(END)[1]


def _facts(results, stored, command: str, machine: str) -> Iterator[tuple]:
  """Yields what one needs to do it again."""
  environment = stored.get('environment', {})
  config = workdir.flatten(dict(stored.get('config', {})))
  yield 'Command', markdown.code(command)
  yield 'Commit', str(environment.get('revision', 'unknown'))
  yield 'Machine', machine
  versions = ('python', 'jax', 'flax', 'optax', 'numpy')
  yield 'Versions', ', '.join(f'{v} {environment.get(v)}' for v in versions)
  if times := results.get('timings', {}).items():  # a study's runs have theirs
    yield 'Time', ', '.join(f'{k} {_minutes(v)}' for k, v in times)
  seeds = {k: v for k, v in config.items() if k.endswith('seed')}
  yield 'Seeds', ', '.join(f'{k} {v}' for k, v in seeds.items())
  if 'num_frames' in results:
    yield 'Test images', f'{results["num_frames"]:,} ({results["dataset"]})'
  for name, generation in results.get('generations', {}).items():
    epochs = ', '.join(str(epoch + 1) for epoch in generation['epochs'])
    yield f'Selected epochs, {name}', epochs
  yield 'Settings', markdown.Written('; '.join(_settings(config)))


def _minutes(seconds: float) -> str:
  return f'{seconds / 60:.0f} min' if seconds >= 60 else f'{seconds:.0f} s'


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
  for name, value in sorted(places.shareable(config).items()):
    yield markdown.code(f'{name}={value}')


def this_machine() -> str:
  """Processor and cores of this computer."""
  name, cores = platform.processor() or platform.machine(), 0
  info = pathlib.Path('/proc/cpuinfo')
  if info.exists():
    lines = info.read_text().splitlines()
    models = [
      line.split(':')[1].strip() for line in lines if 'model name' in line
    ]
    name, cores = (models or [name])[0], len(models)
  return f'{cores} cores of {name}' if cores else name


def main(arguments: Sequence[str] | None = None) -> int:
  """Command line; returns the exit status."""
  parser = argparse.ArgumentParser(
    program.name('emojax.publish'),
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--workdir', type=program.folder, required=True, help='a finished run'
  )
  parser.add_argument('--page', required=True, help='the Markdown file')
  parser.add_argument('--command', required=True, help='what was run')
  parser.add_argument('--machine', default=this_machine(), help='where')
  given = parser.parse_args(arguments)
  try:
    publish(given.workdir, given.page, given.command, given.machine)
  except (OSError, ValueError) as error:
    print(terminal.harmless(f'error: {error}'), file=sys.stderr)
    return 1
  return 0


if __name__ == '__main__':
  sys.exit(main())
