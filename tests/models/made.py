"""Networks of all kinds, small, with variables that training could have left."""

import jax
import numpy as np

from emojax import models, tasks
from emojax.models import one_network
from emojax.models.cnn_rnn import CNNRNN, FramesCNNRNN
from emojax.models.uncertainty_net import UncertaintyNet

SCHEMA, SIZE = tasks.ABAW2021, 32
EXPRESSIONS = tuple(task for task in SCHEMA if task.name == 'expr')
KINDS = (*models.MODELS, 'cnn_rnn', 'uncertainty_net', 'hydra', 'dirichlet')


def network(kind: str, **options):
  """A network by name, of the registry or around one of it."""
  options = {'width': 0.125, 'hidden': 8, **options}
  if kind == 'uncertainty_net':
    return UncertaintyNet(EXPRESSIONS, SIZE, stem='cifar', width=0.125)
  if kind == 'cnn_rnn':
    cnn = models.build('multitask_cnn', SCHEMA, SIZE, **options)
    return FramesCNNRNN(cnn, CNNRNN(SCHEMA, cnn.hidden, 4), 3)
  if kind in one_network.KINDS:
    return one_network.build(
      kind,
      2,
      SCHEMA,
      lambda schema: models.build('emenet_v', schema, SIZE, **options),
    )
  return models.build(kind, SCHEMA, SIZE, **options)


def variables(made, seed: int = 0):
  """Random variables, as large as training leaves them; no program draws them."""
  rng = np.random.default_rng(seed)

  def draw(path, x):
    noise = rng.normal(size=x.shape)
    name = path[-1].key
    if name == 'var':
      return np.float32(np.exp(noise))
    if name == 'scale':
      return np.float32(1 + 0.1 * noise)
    if x.ndim > 1:
      return np.float32(noise * np.sqrt(2 / np.prod(x.shape[:-1])))
    return np.float32(noise if name == 'mean' else 0.3 * noise)

  shapes = jax.eval_shape(lambda: models.init(made, jax.random.key(0)))
  return jax.tree_util.tree_map_with_path(draw, shapes)


def inputs(made, clips: int, frames: int, seed: int = 0):
  """Clips in [0, 1], and their sound for networks that listen."""
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(lambda: models.example_inputs(made, clips, frames))
  return {k: np.float32(rng.uniform(size=v.shape)) for k, v in shapes.items()}
