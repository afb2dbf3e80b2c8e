"""An ensemble's predictions by emojax and its rivals as deployed, in turns.

  python -m benchmarks.inference
  python -m benchmarks.inference --sizes 112 --members 5 --frames 1,64
  python -m benchmarks.inference --quick

Logits of all members for stills, from uint8 images in memory to arrays on the host:
an exported model as `emojax.load` gives it; the same model's ONNX graph in ONNX
Runtime; and the network in PyTorch: frozen, with BatchNorm in its kernels and
oneDNN's fused operations (`torch.jit.optimize_for_inference`), by `torch.compile`,
and eager. Rivals choose between threads in every operation and a stream per core,
PyTorch also between layouts, before they are timed. Beside them the network's matrix
products alone, by NumPy's BLAS: what would be left without all else.

Times are of the clock; 'of processors' adds up all cores, which a loaded machine does
not lengthen as much. Who is over --limit is compared with nothing.
"""

import sys

import rich.console

from benchmarks import options, tables, workers
from benchmarks.contest import contest

ENGINE = 'benchmarks.deployed:prediction'
ONNX = 'benchmarks.deployed:onnx_runtime'
TORCH = 'benchmarks.torch_emenet:prediction'
PRODUCTS = 'benchmarks.products:prediction'
RIVAL = 'ONNX Runtime'
KINDS = ('frozen', 'compiled', 'eager')  # of PyTorch


def contenders(size: int, frames: int, members: int, args):
  """All ways to predict."""
  cores = workers.cores()
  spec = {'size': size, 'frames': frames, 'members': members}
  spec |= {'threads': cores, 'devices': 1, 'cache': args.compilation_cache}
  found = [
    workers.Contender('emojax', ENGINE, spec),
    workers.Contender(RIVAL, ONNX, spec),
  ]
  for kind in KINDS:
    found.append(
      workers.Contender(f'PyTorch, {kind}', TORCH, spec | {'kind': kind})
    )
  found.append(workers.Contender('products alone', PRODUCTS, spec))
  return found


def group(size, frames, members, args, console) -> tables.Table:
  """Times one size, number of stills and of members."""
  title = f'Inference: {size} px, {members} members, {frames} frames at once'
  entries = contenders(size, frames, members, args)
  # A frame is of the whole ensemble.
  return contest(
    title, entries, RIVAL, 'frame', lambda c: frames, 1, args, console
  )


def main():
  parser = options.parser(__doc__, members='1,5', seconds=0.5)
  parser.add_argument(
    '--frames', type=options.numbers, default='1,16,64', help='at once'
  )
  args = options.parse(parser, sizes='32', members='2', frames='1,4')
  console = rich.console.Console()
  heading = f'{tables.environment()} {options.parity(args, console)}'
  console.print(heading, highlight=False)
  found = []
  for size in args.sizes:
    for members in args.members:
      for frames in args.frames:
        found.append(group(size, frames, members, args, console))
        found[-1].print(console)
        if args.out:  # with what there is, if the rest is interrupted
          tables.write(args.out, heading, found)


if __name__ == '__main__':
  sys.exit(main())
