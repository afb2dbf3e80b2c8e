"""`python -m emojax.models`: the size of every model."""

import argparse

import rich.console
import rich.table

from emojax import models, tasks
from emojax.models.count import count


def main():
  """Prints the table."""
  parser = argparse.ArgumentParser(prog='python -m emojax.models')
  parser.add_argument('--image-size', type=int, default=112)
  parser.add_argument('--width', type=float, default=1.0)
  parser.add_argument(
    '--parts', action='store_true', help='show the parts of every model, too'
  )
  args = parser.parse_args()
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


if __name__ == '__main__':
  main()
