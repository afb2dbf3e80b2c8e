"""`python -m emojax.models`: the size of every model, or all arrays of one."""

import argparse
from collections.abc import Sequence

import rich.console
import rich.table
from clu import parameter_overview

from emojax import models, tasks
from emojax.host import program
from emojax.models.count import count


def main(arguments: Sequence[str] | None = None):
  """Prints the table."""
  parser = argparse.ArgumentParser(prog=program.name('emojax.models'))
  parser.add_argument('--image-size', type=int, default=112)
  parser.add_argument('--width', type=float, default=1.0)
  parser.add_argument(
    '--parts', action='store_true', help='show the parts of every model, too'
  )
  parser.add_argument(
    '--overview',
    choices=models.MODELS,
    metavar='NAME',
    help='the arrays of one model instead: names, shapes and sizes',
  )
  args = parser.parse_args(arguments)
  if args.overview:
    print(overview(args.overview, args.image_size, args.width))
    return
  console = rich.console.Console()
  console.print(table(args.image_size, args.width, args.parts))
  console.print(
    "GRUs have PyTorch's two bias vectors; the second column is what a Flax "
    'GRUCell would make of it.\nMultiply-accumulates of convolutions, GRUs and '
    'linear layers for one frame (EMENet-VA: and 64 x 64 audio).'
  )


def table(
  image_size: int, width: float, parts: bool = False
) -> rich.table.Table:
  """Parameters and multiply-accumulates of every model, and of its parts."""
  title = f'ABAW 2021 tasks, {image_size} x {image_size} images, width {width}'
  result = rich.table.Table(title=title)
  result.add_column('model', no_wrap=True)
  for name in ('parameters', 'with Flax GRUs', 'MACs'):
    result.add_column(name, justify='right')
  for name in models.MODELS:
    model = models.build(name, tasks.ABAW2021, image_size, width=width)
    size = count(model)
    numbers = (size.parameters, size.flax_gru, size.macs)
    result.add_row(name, *(f'{n:,}' for n in numbers), style='bold')
    if parts:
      for part, parameters in size.parts.items():
        result.add_row(f'  {part}', f'{parameters:,}')
      result.add_section()
  return result


def overview(name: str, image_size: int, width: float) -> str:
  """Names, shapes and sizes of a model's parameters; nothing is computed."""
  model = models.build(name, tasks.ABAW2021, image_size, width=width)
  made = models.shapes(model)
  return parameter_overview.get_parameter_overview(
    made['params'], include_stats=False
  )


if __name__ == '__main__':
  main()
