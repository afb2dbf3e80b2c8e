"""From a finished CNN to sequences of its features."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from emojax.engine import checkpoint
from emojax.engine.member import Method
from emojax.experiments.two_stage import builders, features, method, stages
from emojax.experiments.two_stage.roles import Subsets
from emojax.experiments.two_stage.stages import Run, Sources


def extract(run: Run, name: str, member: int, of: Method) -> Sources:
  """Features of all clips by one CNN of a finished stack, made once.

  Args:
    run: The run.
    name: The stack.
    member: Which of its members.
    of: The CNN's method.

  Returns:
    Clips of features: training clips, validation, test.
  """
  roles = run.roles
  sets = {'train': roles.clips, 'val': roles.val, 'test': roles.test}
  paths = {
    key: run.path('features', f'{name}-{member}-{key}.npz') for key in sets
  }
  missing = [key for key, path in paths.items() if not path.exists()]
  if missing:
    run.session.progress.describe('features')
    predict = _extractor(run, name, member, of)
    for key in missing:
      features.write(paths[key], predict(sets[key]))
  train, val, test = (
    features.read(paths[key], clips) for key, clips in sets.items()
  )
  return Sources(train, val, test)


def _extractor(run: Run, name: str, member: int, of: Method):
  """Returns `clips -> features [N, L, F]` of a stack's member."""
  model = builders.cnn_from_config(run.config, run.roles.schema)
  evaluate = method.image_inputs(run.config.train.augment).evaluate

  def forward(params, model_state, x):
    variables = {'params': params, **model_state}
    outputs: Any = model.apply(variables, evaluate(x), train=False)
    return {'features': outputs['features']}

  sources = Sources(run.roles.stills, run.roles.val, run.roles.test)
  of = dataclasses.replace(of, predict=forward)
  trainer = stages.make_trainer(run, of, sources, 1, 1)
  template = jax.eval_shape(of.init, jax.random.key(0))
  count = run.load(name).num_members
  template = jax.tree.map(
    lambda s: np.zeros((count, *s.shape), s.dtype), template
  )
  weights = checkpoint.load_tree(
    run.weights_path(name), dict(zip(('params', 'model_state'), template))
  )
  one = jax.tree.map(lambda x: x[member : member + 1], weights)
  placed = trainer.place_weights(one)

  def predict(clips):
    return trainer.predict(*placed, clips)['features'][0]

  return predict


def check_lengths(config):
  """Raises ValueError if clips are shorter than sequences, before training."""
  for length in config.recurrent.lengths:
    if not 1 <= length <= config.data.clip_length:
      raise ValueError(
        f'recurrent.lengths has {length}: expected 1 to data.clip_length, '
        f'{config.data.clip_length} frames'
      )


def cut_sequences(
  whole: Sources, length: int
) -> tuple[Sources, features.Places]:
  """Sources of sequences, and where the training ones come from.

  Training sequences overlap by half, the others not at all.

  Args:
    whole: Clips of features.
    length: Frames of a sequence.
  """
  train, places = whole.train.sequences(length, max(1, length // 2))
  val, val_places = whole.val.sequences(length, length)
  test, test_places = whole.test.sequences(length, length)
  sources = Sources(
    train,
    val,
    test,
    {'val': val_places, 'test': test_places},
    {'val': whole.val.frame_mask.shape, 'test': whole.test.frame_mask.shape},
  )
  return sources, places


def sequence_subsets(
  places: features.Places, clip_groups: Sequence[np.ndarray]
) -> Subsets:
  """Subsets of sequences.

  Args:
    places: Where the sequences come from.
    clip_groups: The clips of every subset.

  Raises:
    ValueError: If a subset has none.
  """
  groups = [
    np.flatnonzero(np.isin(places.clip[:, 0], clips)).astype(np.int32)
    for clips in clip_groups
  ]
  if not all(map(len, groups)):
    raise ValueError(
      'a subset has no video for the recurrent stage: make clips that have its '
      'labels (config.data.train_clips), or set config.recurrent.lengths=()'
    )
  return Subsets(groups, min(map(len, groups)))
