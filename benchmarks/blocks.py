"""What blocks of frames are worth in the predictions of a trainer.

  taskset -c 0 python -m benchmarks.blocks --size=48 --stills=64 --block=18

One member of EMENet-V at full width, random weights, all stills in one call: the
programs that predict, and that predict and sample, as they are, with the trunk in
blocks (`EMENet.block`), and with calls of as many stills as a divisor of the block
(`runtime.predict_clips`). Times are the processor's, medians of --rounds calls in
turns; an exported model's blocks are in `benchmarks.inference`.
"""

import argparse
import math
import statistics
import sys
import time

import jax
import numpy as np

from benchmarks import engine, problem, tables
from benchmarks.planned_runs import positive
from emojax.engine import programs, stack

PASSES = 10
MIB = 1 << 20


def compiled(size: int, stills: int, chunk: int, block: int):
  """Executables by name, and their arguments."""
  method, mesh = engine.method(size, block=block), stack.make_mesh(1)
  state = engine.fresh(method)
  inputs = {'image': problem.images(size, stills)[0][:, None]}
  rest = (inputs, np.int32(stills))
  weights = (state.params, state.model_state)
  keys = jax.random.split(jax.random.key(0), (1, PASSES))
  made = {
    'predict': programs.predict_program(method, mesh, 1, chunk),
    'and sample': programs.sample_program(method, mesh, 1, chunk, True),
  }
  arguments = {
    'predict': (*weights, *rest), 'and sample': (*weights, keys, *rest)
  }  # fmt: skip
  for name, program in made.items():
    start, args = time.process_time(), arguments[name]
    executable = program.lower(*args).compile()
    seconds = time.process_time() - start
    placed = jax.device_put(args, executable.input_shardings[0])
    yield name, executable, placed, seconds


def main():
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  for name, default in (('size', 48), ('stills', 64), ('block', 18)):
    parser.add_argument(f'--{name}', type=positive, default=default)
  parser.add_argument('--rounds', type=positive, default=9)
  args = parser.parse_args()
  whole = args.stills
  fits = math.gcd(whole, 1 << (args.block.bit_length() - 1))
  ways = {
    'as they are': (whole, 0),
    'blocks': (whole, args.block),
    f'{fits} a call': (fits, 0),
  }
  print(tables.environment())
  made = {
    (way, name): rest
    for way, (chunk, block) in ways.items()
    for name, *rest in compiled(args.size, whole, chunk, block)
  }
  times, said = {key: [] for key in made}, {}
  for _ in range(args.rounds):
    for key, (executable, placed, _) in made.items():
      start = time.process_time()
      said[key] = jax.block_until_ready(executable(*placed))
      times[key].append(time.process_time() - start)
  for (way, name), (executable, _, seconds) in made.items():
    memory = executable.memory_analysis().temp_size_in_bytes / MIB
    each = statistics.median(times[way, name]) / whole * 1e3
    print(
      f'{way}, {name}: {each:.2f} ms a still, {memory:.0f} MiB, compiled in '
      f'{seconds:.1f} s; logits differ by '
      f'{difference(said[way, "predict"], said["as they are", "predict"]):.0e}'
    )


def difference(found, expected) -> float:
  """The largest one of two dictionaries of arrays."""
  return max(float(abs(found[k] - expected[k]).max()) for k in expected)


if __name__ == '__main__':
  sys.exit(main())
