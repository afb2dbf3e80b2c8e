"""What a trained stack says about images, as arrays on disk."""

from collections.abc import Mapping

import numpy as np

from emojax import tasks
from emojax.evaluation import Predictions
from emojax.evaluation.context import FIT_SPLIT


def evenly(count: int, limit: int) -> np.ndarray:
  """Evenly spaced positions of at most `limit` of `count` items; 0: all."""
  if not 0 < limit < count:
    return np.arange(count)
  return np.arange(limit) * count // limit


def training_images(run) -> np.ndarray:
  """Numbers of the images that are trained on, int32: those with a label.

  Evenly spaced ones if `config.train.images` limits their number.
  """
  mask = np.asarray(run.dataset.train.targets[run.task.name].mask)[:, 0]
  labelled = np.flatnonzero(mask).astype(np.int32)
  return labelled[evenly(len(labelled), run.config.train.images)]


def examined_images(run) -> np.ndarray:
  """Numbers of the training images in which wrong labels are looked for."""
  used = training_images(run)
  return used[evenly(len(used), run.config.eval.train_images)]


def predict(run, trainer, state) -> dict[str, np.ndarray]:
  """Outputs of every member for the test and some training images.

  And logits for the validation images, on which models are calibrated.

  Args:
    run: See `run.Run`.
    trainer: The method's trainer.
    state: Has `params` and `model_state` of the stack, on the mesh.

  Returns:
    'test/logits' [M, N, K], 'test/uncertainty' [M, N], 'test/features' [N, D]
    (of member 0), the same for 'train' without features, and 'val/logits' unless
    the test images are those of validation.
  """
  found, weights = {}, (state.params, state.model_state)
  if run.dataset.test is not run.dataset.val:
    outputs = trainer.predict(*weights, run.dataset.val)
    found[f'{FIT_SPLIT}/logits'] = outputs[run.task.name][:, :, 0]
  chosen = examined_images(run)
  for part, source in (
    ('test', run.dataset.test),
    ('train', run.dataset.train.take(chosen)),
  ):
    outputs = trainer.predict(*weights, source)
    found[f'{part}/logits'] = outputs[run.task.name][:, :, 0]
    found[f'{part}/uncertainty'] = outputs['uncertainty'][:, :, 0]
    if part == 'test':
      found['test/features'] = outputs['features'][0, :, 0]
  return found


def predictions(
  name: str, task: tasks.Task, found: Mapping[str, np.ndarray]
) -> Predictions:
  """Logits of the test images and, of runs since they have them, 'val'.

  Args:
    name: The method.
    task: The classes.
    found: Arrays of `predict`, 'best_epoch' and, of runs since they have it,
      'epoch', that of the weights.
  """
  logits = {
    part: {task.name: found[f'{part}/logits'][:, :, None]}
    for part in ('test', FIT_SPLIT)
    if f'{part}/logits' in found
  }
  epochs = found['epoch' if 'epoch' in found else 'best_epoch']
  return Predictions(name, (task,), logits, epochs.tolist())
