"""Trained models as `python -m emojax.export` writes them: load and predict.

model = emojax.load('exported/')
output = model.predict(images)      # uint8 [N, H, W, 3]
output.probabilities['expr']        # float32 [N, E], mean of the members
output.uncertainty['expr'].total    # float32 [N], in [0, 1]
model.answers(output)['expr']       # names of the expressions
"""

import functools
import os
from typing import Any

import jax
import numpy as np

from emojax import tasks
from emojax.engine import flip
from emojax.trained import folder as release
from emojax.trained import network, shipped
from emojax.trained.answering import Answering, ModelError, Output, in_batches
from emojax.trained.members import Members

PyTree = Any
__all__ = ['Model', 'Output', 'load']


class Model(Answering):
  """An exported stack of members; see `load` and `Answering`.

  Args:
    metadata: What model.json says.
    weights: {'params', 'model_state'}, arrays [M, ...].
    lowering: See `ops.conv`; for whoever writes the model in another form.
  """

  def __init__(
    self, metadata: dict[str, Any], weights: PyTree, lowering: str = 'auto'
  ):
    super().__init__(metadata)
    self._network = network.build(metadata, lowering)
    self._outputs = network.outputs(metadata)
    self._params, self._state = weights['params'], weights['model_state']
    # Models of before have no such key.
    self._flip = metadata.get('flip', False)
    if not isinstance(self._flip, bool):
      raise ModelError(f'flip: expected true or false, found {self._flip!r}')

  def one(self, params, state, inputs, key=None, number=None):
    """What one member says, in one stochastic pass if there is a key."""
    return self._said(self._network, params, state, inputs, key, number)

  @functools.cached_property
  def _members(self) -> Members:
    """All of them; made when first asked, as other forms of a model do not."""
    return Members(self._said, self._network, self._params, self._state)

  def _said(self, network, params, state, inputs, key, number):
    variables = {'params': params, **state}

    def predict(x):
      return self._outputs(network, variables, x, key, number)

    if self._flip:
      return flip.over_both(predict, self.schema)(inputs)
    return predict(inputs)

  def logits(
    self,
    image: Any,
    audio: Any = None,
    batch: int = 16,
    samples: int = 0,
    seed: int = 0,
  ) -> dict[str, np.ndarray]:
    """Logits of every member, task -> float32 [M, N, L, outputs].

    As the network has them, without the prior correction of `predict`. Networks
    of paper 003 add `answering.LEARNED` [M, N, L].

    Args:
      image: uint8 [N, L, H, W, C], as for `predict`.
      audio: float32 [N, L, 64, 64] for models that listen.
      batch: Clips that are computed at a time.
      samples: Stochastic passes S, as for `predict`; M is then M * S.
      seed: Their seed.
    """
    inputs, keys = self.inputs(image, audio), self._keys(samples, seed)

    def run(chosen, start):
      return self._members(chosen, None if keys is None else keys(start))

    return in_batches(run, inputs, batch)

  def weights(self) -> PyTree:
    """{'params': ..., 'model_state': ...} of all members, [M, ...]."""
    return {'params': self._params, 'model_state': self._state}

  def member(self, i: int) -> tuple[PyTree, PyTree]:
    """(parameters, state) of a member."""
    return jax.tree.map(lambda x: x[i], (self._params, self._state))

  def _keys(self, samples: int, seed: int):
    """`first clip -> keys [M, S]` of stochastic passes; None without any."""
    if samples == 0:
      return None
    if samples < 0:
      raise ModelError(f'samples {samples}: expected at least 0')
    if not network.can_sample(self.metadata):
      raise ModelError(
        'this network has no dropout or DropConnect to sample: call it with '
        'samples=0'
      )
    heads = network.heads(self.metadata)
    if heads and samples % heads:
      raise ModelError(
        f'samples {samples}: the network has {heads} heads, which are its '
        f'members: ask for samples={heads}, or a multiple'
      )
    base = jax.random.key(seed)
    shape = (self.num_members, samples)
    return lambda start: jax.random.split(
      jax.random.fold_in(base, start), shape
    )


def load(
  folder: str | os.PathLike[str], schema: tasks.Schema | None = None
) -> Model:
  """Loads an exported model.

  Args:
    folder: What `python -m emojax.export` wrote, or the name of a model that is
      in this package (`emojax.trained.shipped.names()`); './ferplus' is a folder
      for certain, and has to be written where both exist. 'hf://user/name' is fetched
      from the Hugging Face Hub (extra `hub`), or what its cache has of it;
      'hf://user/name@revision' is a branch, a tag or a commit.
    schema: Labels that the model must have, in this order; None for any.

  Raises:
    ModelError: If files are missing, damaged or of a newer version, the hub's
      cannot be had, or a name means two models.
    ValueError: If the labels are not those of `schema`.
  """
  name = os.fspath(folder)
  folder = shipped.find(name)
  if not os.path.lexists(folder):
    raise ModelError(shipped.unknown(name))
  metadata = release.read_metadata(folder)
  if schema is not None:
    tasks.check_schema(metadata['schema'], schema, str(folder))
  return Model(metadata, release.read_weights(folder, metadata))
