"""Checks that both implementations compute the same before they are timed.

  python -m benchmarks.parity

copies weights of the Flax network to PyTorch and compares logits, loss and
gradients, with the statistics of the batch and without dropout.
"""

import argparse

import numpy as np

from benchmarks import engine, torch_emenet, workers
from benchmarks import problem as problems

TOLERANCE = 5e-3  # float32 through fifty normalised layers


def error(found, expected) -> float:
  """Norm of the difference relative to the norm."""
  return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def check(size: int, frames: int = 8) -> dict[str, float]:
  """Relative errors of loss, gradients and logits."""
  data = problems.make(size, frames, members=1, steps=1)
  rows = data.plan[0, 0]
  image = data.image[rows]
  values = {name: value[rows] for name, value in data.values.items()}
  found = engine.gradients(engine.method(size, dropout=0.0), image, values)
  expected = torch_emenet.reference(found['params'], size, image, values)
  # Gradients of PyTorch's names and shapes, in the place of weights.
  copied = torch_emenet.load(torch_emenet.EMENet(size), found['gradients'])
  gradients = [
    np.concatenate([array.ravel() for array in arrays])
    for arrays in zip(
      *(
        (p.detach().numpy(), expected['gradients'][name])
        for name, p in copied.named_parameters()
      )
    )
  ]
  logits = found['logits']
  return {
    'loss': error(found['loss'], expected['loss']),
    'gradients': error(*gradients),
    'logits': max(error(logits[k], expected['logits'][k]) for k in logits),
  }


def make(spec) -> tuple[None, dict]:
  """The check as a worker's task.

  Raises:
    WorkerError: If the implementations differ.
  """
  engine.set_up(spec)
  errors = check(spec['size'])
  text = ', '.join(f'{name} {value:.0e}' for name, value in errors.items())
  # NaN must fail, too.
  if not all(value < TOLERANCE for value in errors.values()):
    raise workers.WorkerError(
      f'emojax and PyTorch differ at equal weights: {text} (relative; expected '
      f'less than {TOLERANCE})'
    )
  return None, {'note': f'At equal weights both agree to: {text} (relative).'}


def main():
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--size', type=int, default=48)
  size = parser.parse_args().size
  spec = {'size': size, 'cache': 'auto', 'devices': 1}
  print(make(spec)[1]['note'])


if __name__ == '__main__':
  main()
