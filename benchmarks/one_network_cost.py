"""What an answer of `benchmarks.one_network` costs: counted, and measured."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from emojax import models
from emojax.experiments.distillation import one_network
from emojax.models import count
from emojax.models.one_network import KINDS

FRAMES = 16  # of the clip


class Way(NamedTuple):
  """A way to answer.

  Attributes:
    name: Of the row.
    kind: `distill.method`; '' for teachers.
    members: Networks that answer together.
    samples: Stochastic passes; 0 for none.
  """

  name: str
  kind: str
  members: int
  samples: int


class Cost(NamedTuple):
  """What an answer costs.

  Attributes:
    macs: Multiply-accumulates of a frame.
    milliseconds: Of processor time, of a frame; NaN if it was not measured.
  """

  macs: int
  milliseconds: float


def cost(way: Way, config: ConfigDict, schema, timed: bool = True) -> Cost:
  """Counts and measures a way to answer, with weights that are not trained.

  Passes of one network share its trunk, as predictions of runs do.
  """
  config = ConfigDict(config.to_dict())
  config.distill = config.get('distill', ConfigDict())
  make, image = _program(way, config, schema, 'conv')
  macs = count.of_program(make, image) // FRAMES * way.members
  if not timed:
    return Cost(macs, float('nan'))
  make, image = _program(way, config, schema, 'auto')
  return Cost(macs, _processor_time(jax.jit(make), image) * way.members)


def _program(way: Way, config, schema, lowering: str):
  """A function of images of one network, and images."""
  config.runtime.lowering = lowering
  config.distill.method = way.kind if way.kind in KINDS else one_network.MEAN
  if way.kind in KINDS:
    model = one_network.model_from_config(config, schema)
  else:
    model = models.from_config(config, schema)
  size = config.data.image_size
  image = jnp.zeros((1, FRAMES, size, size, model.channels))
  variables = models.init(model, jax.random.key(0))

  def one(image, key, number):
    inside = {'number': number} if way.kind in KINDS else {}
    return model.apply(
      variables, {'image': image}, train=False, dropout=True,
      rngs={'dropout': key}, **inside,
    )  # fmt: skip

  def run(image):
    if not way.samples:
      found = model.apply(variables, {'image': image}, train=False)
      return {task.name: found[task.name] for task in schema}
    keys = jax.random.split(jax.random.key(1), way.samples)
    draw = jax.vmap(one, (None, 0, 0))
    return draw(image, keys, jnp.arange(way.samples))

  return run, image


def _processor_time(run: Callable, image, rounds: int = 9) -> float:
  """Milliseconds of all cores for one frame, the middle of some rounds."""
  jax.block_until_ready(run(image))
  taken = []
  for _ in range(rounds):
    start = time.process_time()
    jax.block_until_ready(run(image))
    taken.append(time.process_time() - start)
  return float(np.median(taken)) * 1000 / FRAMES
