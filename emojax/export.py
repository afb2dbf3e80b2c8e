"""Exports a trained generation as a model that others can load.

  python -m emojax.export --workdir=runs/first --out=exported/first
  python -m emojax.export --workdir=runs/first --out=exported/one \\
    --generation=Stu1 --members=0

writes weights (safetensors), model.json (label names in order, preprocessing,
class weights, temperatures, thresholds, versions) and a model card filled from the run. Then

  model = emojax.load('exported/first')
  output = model.predict(images)

The folder appears when everything in it is written, or not at all. Before, the
model must give on some of the run's validation clips what the run itself has
predicted there.
"""

import argparse
import sys
from collections.abc import Sequence

from emojax.engine.checkpoint import CheckpointError
from emojax.host import program
from emojax.trained import describing, exporting
from emojax.trained import folder as release
from emojax.trained import run as runs


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog=program.name('emojax.export'),
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = made.add_argument
  add('--workdir', required=True, metavar='RUN', help='folder of the run')
  add('--out', required=True, metavar='DIR', help='folder to write')
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
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  found = parser().parse_args(arguments)
  try:
    run = runs.open_run(found.workdir)
    out = exporting.export(
      run,
      found.out,
      found.generation,
      found.members,
      validate=not found.without_validation,
      half=found.half,
      crop=found.crop_rule,
    )
  except (CheckpointError, OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  print(f'{out} is ready; {out / release.CARD} describes it')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
