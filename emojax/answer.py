"""Answers pictures, videos and webcams: what would people say of these faces?

  emojax predict photo.jpg --out answers
  emojax predict folder/ video.mp4 --model exported/first --out answers
  python -m emojax predict ...  (the same)

finds the faces, crops them as those that the model was trained with, and writes to
OUT: answers.csv (a row for each face in each frame), columns.md (what the columns
mean), overlay/ (the inputs with the answers drawn in), page.html (to look at), and
problems.txt (what could not be read). A command that was stopped goes on where it
was when it is given again, and ends with the same bytes.

The numbers estimate what people would say of a picture, not what somebody feels;
see docs/predict.md for what they are not, and where laws forbid their use.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence

from emojax.host import program

DEFAULT_MODEL = 'ferplus'


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog='emojax predict',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = made.add_argument
  add('inputs', nargs='*', metavar='IN', help='pictures, videos, folders')
  program.add_out(made)
  add(
    '--model',
    default=DEFAULT_MODEL,
    metavar='NAME',
    help='a model by name, the folder or ONNX file of an exported one, or one of '
    'the hub, hf://user/name (%(default)s); an ONNX file is run without JAX',
  )
  add('--webcam', type=int, metavar='N', help='the webcam with this number')
  _add_search(made.add_argument_group('faces'))
  _add_frames(made.add_argument_group('frames of videos'))
  _add_doubt(made.add_argument_group('answers and doubt'))
  _add_files(made.add_argument_group('files'))
  return made


def _add_search(group):
  add = group.add_argument
  add(
    '--crops', action='store_true', help='the inputs are cropped faces already'
  )
  add('--boxes', metavar='FILE.csv', help='boxes: file,x,y,w,h[,frame][,face]')
  add('--detector', metavar='NAME', help='a detector by name, or FILE.onnx')
  add('--min-score', type=float, metavar='X', help='leave weaker faces out')
  add(
    '--tiles',
    action=argparse.BooleanOptionalAction,
    help='look at large pictures in tiles, too, for small faces (at pictures '
    'unless --no-tiles, at videos only with --tiles)',
  )
  add(
    '--crop-rule',
    metavar='fer2013',
    help='how faces are cut, for models that do not say it',
  )


def _add_frames(group):
  add = group.add_argument
  add('--every', type=int, default=1, metavar='N', help='every Nth frame only')
  add('--from', type=float, dest='start', metavar='S', help='from this second')
  add(
    '--smooth',
    type=float,
    metavar='S',
    help='average the probabilities of a face over these seconds (not)',
  )
  add('--to', type=float, dest='stop', metavar='S', help='before this second')


def _add_doubt(group):
  add = group.add_argument
  add(
    '--temperature',
    action='store_true',
    help="scale by the temperatures of the model's validation set; limits are yours "
    'then: --unsure-above, --foreign-above',
  )
  add(
    '--coverage', type=float, metavar='X', help='of the answer sets, e.g. 0.9'
  )
  add(
    '--favour-rare',
    type=float,
    metavar='X',
    help='answer rare classes more often: 0 the likeliest class (0), 1 the one that '
    'is likeliest beside its share of the labels',
  )
  for name, share in (('unsure', 0.1), ('foreign', 0.01)):
    add(
      f'--{name}-share',
      type=float,
      metavar='X',
      help=f'{name}: beyond this share of the validation faces ({share})',
    )
    add(
      f'--{name}-above',
      type=float,
      metavar='X',
      help='a limit of the uncertainty instead, in [0, 1]',
    )
  for name, unit in (
    ('min-sharpness', 'blurred: faces less sharp'),
    ('min-face', 'small: faces of fewer pixels'),
    ('max-profile', 'profile: faces turned further, in [0, 1]'),
  ):
    add(f'--{name}', type=float, metavar='X', help=unit)


def _add_files(group):
  add = group.add_argument
  add(
    '--format',
    default='csv',
    metavar='csv,parquet',
    help='of the table: csv, parquet, jsonl, or several',
  )
  add(
    '--style',
    default='emojax',
    metavar='openface',
    help="names of its columns: emojax, or OpenFace's",
  )
  add('--no-overlay', action='store_true', help='draw nothing')
  add('--no-page', action='store_true', help='write no page')


def parse(arguments: Sequence[str]):
  """Reads the command line; ends the program if it is wrong.

  Returns:
    (what the flags say, `Options`, `Files`).
  """
  made = parser()
  said = made.parse_args(arguments)
  if not said.model:
    made.error('--model is empty: name a model or its folder')
  if '' in said.inputs:
    made.error('an input is empty: name pictures, videos or folders')
  if not said.inputs and said.webcam is None:
    made.error('name pictures, videos or folders, or --webcam 0')
  if said.webcam is not None and (said.webcam < 0 or said.inputs):
    made.error('--webcam takes a number from 0, and no other inputs beside it')
  from emojax.answers import options

  named = {
    field: value
    for field in options.Options.__dataclass_fields__
    if (value := getattr(said, field)) is not None
  }
  try:
    return (
      said,
      options.Options(**named),
      options.Files(
        tuple(said.format.split(',')),
        said.style,
        not said.no_overlay,
        not said.no_page,
      ),
    )
  except options.OptionError as error:
    made.error(str(error))


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  said, asked, written = parse(arguments)
  # After the arguments, so that --help and errors do not wait for JAX.
  from rich.console import Console

  from emojax.host.terminal import say

  console = Console()
  out = pathlib.Path(said.out)
  try:
    frames = _finished(said, asked, written, out)
    if frames is not None:
      say(console, f'{out} is finished: nothing to do')
      return 0
    frames = _answered(said, asked, written, out, console)
  except KeyboardInterrupt:
    say(console, 'stopped; the same command goes on where it was')
    return program.INTERRUPTED
  except (ImportError, OSError, ValueError) as error:
    say(console, ('error:', 'bold red'), f' {error}')
    return 1
  if not frames:
    say(console, ('error:', 'bold red'), ' no frame could be read')
    return 1
  for name in written.formats:
    say(console, f'Table: {out / "answers"}.{name}')
  if written.page:
    say(console, f'Page: {out / "page.html"}')
  return 0


def _finished(said, asked, written, out: pathlib.Path) -> int | None:
  """Frames of a folder that this command has finished; None if it has not.

  Raises:
    ValueError: If the folder is of another command. A model is not loaded for it.
  """
  from emojax.answers import command, inputs, session
  from emojax.trained import loading

  if not (out / session.COMMAND).is_file():
    return None
  try:
    metadata = loading.read_metadata(said.model)
  except (OSError, ValueError, RecursionError):
    return None  # loading it will say why
  found, _ = inputs.checked(asked, said.inputs, out, said.webcam)
  there = session.Session(out, command.of(metadata, asked, written, found))
  there.check_command()
  if not there.finished:
    return None
  there.sweep()
  return there.summary()['frames']


def _answered(said, asked, written, out: pathlib.Path, console) -> int:
  """Number of frames that have been answered."""
  import emojax
  from emojax.answers import run
  from emojax.trained import loading

  if loading.onnx_file(said.model) is None:  # JAX will compile programs
    from emojax.runtime import compilation

    compilation.set_cache('auto')
  model = emojax.load(said.model)
  name = os.path.basename(os.path.abspath(said.model))
  return run.execute(
    model, asked, written, said.inputs, out, console, said.webcam, name
  )


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
