"""Evaluates a trained run again, or a model: other data, another split.

  python -m emojax.evaluate --workdir=runs/first
  python -m emojax.evaluate --workdir=runs/first --config.data.seed=7
  python -m emojax.evaluate --workdir=runs/ferplus --data=data/fer2013 \\
    --split=test --generations=Stu1 --members=0 --ignore-labels=contempt
  python -m emojax.evaluate --model=ferplus --data=data/mine --split=test \\
    --out=scores

Labels are matched by name. Of a run the same tables as in the run are written to
RUN/evaluations/DATASET-SPLIT (or --out), with the predictions; the same command
again goes on where it was stopped, and never writes into somebody's folder.

Of a model (of this package, exported, or of the hub) what `emojax predict` would say
is scored, and how often its sets hold the truth; --out is a new folder.
"""

import argparse
import difflib
import sys
from collections.abc import Sequence

from emojax.host import program

EPILOG = """\
Settings of the run's data, of the evaluation and of how it is computed are
overridden as in training: --config.data.seed=7 --config.data.test_clips=500
--config.data.eval_clip_length=32 --config.runtime.predict_clips=8.
A run that is not finished is evaluated up to its last finished generation."""


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog=program.name('emojax.evaluate'),
    description=__doc__,
    epilog=EPILOG,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = made.add_argument
  which = made.add_mutually_exclusive_group(required=True)
  which.add_argument(
    '--workdir', type=program.folder, metavar='RUN', help='folder of the run'
  )
  which.add_argument(
    '--model',
    type=program.folder,
    metavar='MODEL',
    help='instead of a run: a model of this package, the folder of an exported one, '
    'or hf://user/name; takes --data, --split, --ignore-labels and --out alone',
  )
  add(
    '--data',
    type=program.folder,
    metavar='FOLDER',
    help="what `python -m emojax.data.prepare` wrote, or 'embedded'; the "
    "run's own data set without it",
  )
  add('--split', help="split to evaluate; the run's test split without it")
  add(
    '--generations',
    type=_some_names,
    metavar='Tea,Stu1',
    help='all that are finished without it',
  )
  add('--members', type=_numbers, metavar='0,2', help='all without it')
  add(
    '--mc-samples',
    type=int,
    metavar='N',
    help='passes of Monte Carlo dropout per member, 0 for none; as many as in '
    'the run without it',
  )
  add(
    '--flip',
    action=argparse.BooleanOptionalAction,
    default=None,
    help='mean probabilities over an image and its mirror image; as in the run '
    'without it',
  )
  add(
    '--no-temperature',
    action='store_true',
    help='no temperature scaling (it takes a while on large data)',
  )
  add(
    '--ood',
    type=_names,
    metavar='digits,FOLDER',
    help="out-of-distribution sets: digits, textures, prepared folders; '' "
    'for none; those of the run without it',
  )
  add(
    '--ignore-labels',
    type=_names,
    default=(),
    metavar='contempt',
    help='classes of the data that the run does not know: their frames are '
    'left out',
  )
  add('--out', type=program.folder, metavar='DIR', help='where to write')
  add('--name', help='name of the folder in RUN/evaluations')
  return made


def _names(text: str) -> tuple[str, ...]:
  return tuple(part.strip() for part in text.split(',') if part.strip())


def _some_names(text: str) -> tuple[str, ...]:
  if not (names := _names(text)):
    raise argparse.ArgumentTypeError('expected at least one name')
  return names


def _numbers(text: str) -> tuple[int, ...]:
  names = _some_names(text)
  if not all(name.isdecimal() for name in names):
    raise argparse.ArgumentTypeError(f'{text!r}: expected numbers from 0')
  return tuple(int(name) for name in names)


def parse(arguments: Sequence[str]):
  """Reads the command line; ends the program if it is wrong.

  Returns:
    A `reevaluation.Request`, or with --model a `model_scores.Request`.
  """
  made = parser()
  found, rest = made.parse_known_args(_joined(arguments))
  overrides = tuple(a[len('--config.') :] for a in rest if _is_override(a))
  for argument in rest:
    if not _is_override(argument):
      options = [o for a in made._actions for o in a.option_strings]
      near = difflib.get_close_matches(argument.split('=')[0], options, 1)
      hint = f'; did you mean {near[0]}?' if near else ''
      made.error(f'unknown argument {argument}{hint}')
  if found.model is not None:
    return _of_model(made, found, overrides)
  if found.mc_samples is not None and found.mc_samples < 0:
    made.error(f'--mc-samples={found.mc_samples}: expected at least 0')
  from emojax.trained.reevaluation import Request

  values = vars(found)
  del values['model']
  temperature = not values.pop('no_temperature')
  return Request(**values, temperature=temperature, overrides=overrides)


def _of_model(made: argparse.ArgumentParser, found, overrides):
  """The request of --model; ends the program if it is wrong."""
  for name in ('split', 'out'):
    if getattr(found, name) is None:
      made.error(f'--model needs --{name}')
  taken = ('model', 'data', 'split', 'ignore_labels', 'out')
  for name, value in vars(found).items():
    if name not in taken and value != made.get_default(name):
      made.error(f'--{name.replace("_", "-")} is for runs: leave it out')
  if overrides:
    made.error(f'--config.{overrides[0]} is for runs: leave it out')
  from emojax.trained.model_scores import Request

  data = None if found.data == 'embedded' else found.data
  return Request(found.model, found.out, data, found.split, found.ignore_labels)


def _is_override(argument: str) -> bool:
  return argument.startswith('--config.') and '=' in argument


def _joined(arguments: Sequence[str]) -> list[str]:
  """'--config.a 1' is as good as '--config.a=1'."""
  joined, waiting = [], False
  for argument in arguments:
    if waiting:
      joined[-1] += f'={argument}'
    else:
      joined.append(argument)
    waiting = (
      not waiting and argument.startswith('--config.') and '=' not in argument
    )
  return joined


def _evaluated(request, console):
  """The folder of a run's evaluation."""
  from emojax import settings
  from emojax.runtime import devices, memory
  from emojax.trained import reevaluation, rescoring

  evaluation = reevaluation.prepare(request)
  config = evaluation.config
  devices.set_cpu_devices(config.ensemble.size, config.runtime.cpu_devices)
  values = settings.flatten(config.to_dict())
  with memory.explained(values, training=False):
    return rescoring.execute(evaluation, console)


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  request = parse(arguments)
  # After the arguments, so that --help and errors do not wait for JAX.
  from rich.console import Console

  from emojax.engine.checkpoint import CheckpointError
  from emojax.host.terminal import say
  from emojax.runtime import compilation, memory
  from emojax.trained import reevaluation

  console = Console()
  try:
    compilation.set_cache('auto')
    if isinstance(request, reevaluation.Request):
      folder = _evaluated(request, console)
    else:
      from emojax.trained import model_scores

      folder = model_scores.execute(request, console)
  except KeyboardInterrupt:
    ends = 'starts anew' if 'model' in vars(request) else 'goes on where it was'
    say(console, f'stopped; the same command {ends}')
    return program.INTERRUPTED
  except (
    CheckpointError,
    ImportError,
    OSError,
    ValueError,
    memory.OutOfMemoryError,
  ) as error:
    say(console, ('error:', 'bold red'), f' {error}')
    return 1
  say(console, f'Report: {folder / "report.html"}')
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
