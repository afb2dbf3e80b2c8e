"""Calibrates an exported model on data of one's own, as a new model.

  emojax calibrate ferplus --data DATA/mine --split validation --out mine
  emojax calibrate exported/first --data DATA/ferplus_raw --out again

fits what an export fits on the validation set of its run: temperatures, thresholds of
uncertainty (`unsure`, `route`) and of prediction sets (`sets`), all by the model's own
predictions. Network and weights stay, and so does the folder that is named; labels
are matched by name.

With --split the data are anybody's, prepared by `emojax prepare`: people or videos
that the model was not trained on. Without it they are the data set of the model, of which
that part is taken that chose the epochs, as the settings in model.json say.
"""

import argparse
import sys
from collections.abc import Sequence

from emojax.host import program, terminal


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog=program.name('emojax.calibrate'),
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = made.add_argument
  add(
    'model',
    metavar='MODEL',
    help='a model of this package, the folder of an exported one, or one of the '
    'hub, hf://user/name',
  )
  program.add_out(made)
  add(
    '--data',
    type=program.folder,
    metavar='FOLDER',
    help='what `emojax prepare` wrote; of models that were trained on the embedded '
    'data set that one without it',
  )
  add(
    '--split',
    metavar='validation',
    help='split to calibrate on; what chose the epochs of the model without it',
  )
  add(
    '--ignore-labels',
    type=lambda text: tuple(part for part in text.split(',') if part),
    default=(),
    metavar='contempt',
    help='classes of the data that the model does not know: their frames are '
    'left out',
  )
  add(
    '--pool',
    action='store_true',
    help='make the mean of all members as sure as it may be: fit a temperature to '
    'it and divide the weights of the last layers by it, before all else',
  )
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  said = parser().parse_args(arguments)
  # After the arguments, so that --help and errors do not wait for JAX.
  try:
    from emojax.trained import folder, guarantees, recalibrating

    out = recalibrating.recalibrate(
      said.model,
      said.out,
      said.data,
      said.split,
      said.ignore_labels,
      said.pool,
    )
  except KeyboardInterrupt:
    print('stopped; nothing was written', file=sys.stderr)
    return program.INTERRUPTED
  except (ImportError, OSError, ValueError) as error:
    print(terminal.harmless(f'error: {error}'), file=sys.stderr)
    return 1
  print(
    terminal.harmless(
      f'{out} is ready; {out / folder.CARD} says what it promises'
    )
  )
  for note in guarantees.notes(folder.read_metadata(out)):
    print(terminal.harmless(f'note: {note}'))
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
