"""Exports a trained generation as a model that others can load.

  python -m emojax.export --workdir=runs/first --out=exported/first
  python -m emojax.export --workdir=runs/first --out=exported/one \\
    --generation=Stu1 --members=0

writes weights (safetensors), model.json (label names in order, preprocessing,
class weights, temperatures, thresholds, versions) and a model card filled from the run. Then

  model = emojax.load('exported/first')
  output = model.predict(images)

With --format safetensors,onnx,jax the folder also has the model as an ONNX graph and
as a program of JAX, with everything from uint8 images to uncertainties in it
(docs/export.md). A model that is exported already is converted by its name or folder:

  python -m emojax.export --model=ferplus --out=exported/ferplus --format=onnx

With --format web it is a page for browsers as well (docs/web.md): any web server hands
out its files, and pictures stay on the device of whoever opens it.

The folder appears when everything in it is written, or not at all. Before, the
model must give on some of the run's validation clips what the run itself has
predicted there, and every other form what the model says.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from emojax.engine.checkpoint import CheckpointError
from emojax.host import program, terminal
from emojax.trained import describing, exporting
from emojax.trained import folder as release
from emojax.trained import run as runs
from emojax.trained.forms import TOLERANCE


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog=program.name('emojax.export'),
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = made.add_argument
  source = made.add_mutually_exclusive_group(required=True)
  source.add_argument(
    '--workdir',
    type=program.folder,
    metavar='RUN',
    help='folder of the run',
  )
  source.add_argument(
    '--model',
    metavar='NAME',
    help='a model of this package, the folder of an exported one, or one of the '
    'hub, hf://user/name, instead',
  )
  program.add_out(made)
  add('--generation', metavar='Stu1', help='the last finished one without it')
  add(
    '--members',
    metavar='0,2',
    type=lambda text: [int(part) for part in text.split(',')],
    help='all without it',
  )
  add(
    '--without-validation',
    action='store_true',
    help="export without temperatures and thresholds, where the run's data "
    'are not at hand',
  )
  add(
    '--half',
    action='store_true',
    help='kernels in float16: half the size, the same answers up to rounding',
  )
  add(
    '--crop-rule',
    choices=sorted(describing.CROPS),
    help='how the faces of the training data were cut, so that `emojax predict` '
    'cuts faces alike (FER2013 and FER+: fer2013)',
  )
  add(
    '--format',
    metavar='safetensors,onnx,jax,web',
    type=lambda text: text.split(','),
    help='what is written (safetensors; of a --model onnx)',
  )
  add(
    '--web-runtime',
    metavar='FOLDER|TARBALL',
    help='the npm package onnxruntime-web that goes into a page, where there is no '
    'registry to get it from',
  )
  add(
    '--tolerance',
    type=float,
    metavar='X',
    help='by how much probabilities may differ between the model and its other '
    f'forms before nothing is written ({TOLERANCE:g})',
  )
  return made


def parse(arguments: Sequence[str]) -> argparse.Namespace:
  """Reads the command line; ends the program if it is wrong."""
  made = parser()
  found = made.parse_args(arguments)
  chosen = {
    '--generation': found.generation,
    '--members': found.members,
    '--without-validation': found.without_validation,
    '--half': found.half,
    '--crop-rule': found.crop_rule,
  }
  if found.model is not None:
    for name, value in chosen.items():
      if value:
        made.error(f'{name} is of a run: leave it out with --model')
  found.format = found.format or [
    'safetensors' if found.model is None else 'onnx'
  ]
  if found.format == ['safetensors'] and found.tolerance is not None:
    made.error('--tolerance is of other forms: name onnx or jax as --format')
  found.tolerance = TOLERANCE if found.tolerance is None else found.tolerance
  if not 0 <= found.tolerance < 1:
    made.error('--tolerance: expected a number in [0, 1)')
  if found.web_runtime is not None and 'web' not in found.format:
    made.error('--web-runtime is of a page: name web as --format')
  return found


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  found = parse(arguments)
  try:
    formats, page = _page(found)
    if found.model is not None:
      out = exporting.convert(
        found.model, found.out, formats, found.tolerance, page
      )
      described, smaller = '', 'which has fewer members'
    else:
      out = exporting.export(
        runs.open_run(found.workdir),
        found.out,
        found.generation,
        found.members,
        validate=not found.without_validation,
        half=found.half,
        crop=found.crop_rule,
        formats=formats,
        tolerance=found.tolerance,
        page=page,
      )
      described = f'; {out / release.CARD} describes it'
      smaller = 'with --half, or fewer --members'
  except KeyboardInterrupt:
    print('stopped; nothing was written', file=sys.stderr)
    return program.INTERRUPTED
  except (CheckpointError, ImportError, OSError, ValueError) as error:
    print(terminal.harmless(f'error: {error}'), file=sys.stderr)
    return 1
  print(terminal.harmless(f'{out} is ready{described}'))
  _say_page(out, page, smaller)
  return 0


def _page(found: argparse.Namespace) -> tuple[list[str], exporting.Page | None]:
  """(forms but the page, what makes the page), if one is asked for."""
  if 'web' not in found.format:
    return found.format, None
  from emojax.web import folder

  formats = list(found.format)
  formats.remove('web')  # once: `exporting` refuses what is named twice
  name = pathlib.Path(found.model or found.workdir).resolve().name
  return formats, folder.Page(name, found.web_runtime)


def _say_page(out: pathlib.Path, page: exporting.Page | None, smaller: str):
  """How to look at the page, what it weighs, and what would make it smaller."""
  if page is None:
    return
  from emojax.web import folder

  size = folder.wire(out)
  print(
    terminal.harmless(
      f'{size / 1e6:.1f} MB to load; to look at it: '
      f'python -m http.server --directory {out}'
    )
  )
  if size > folder.WIRE:
    print(
      f'note: more than {folder.WIRE / 1e6:.0f} MB, which is slow on phones: '
      f'export a model {smaller}',
      file=sys.stderr,
    )


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
