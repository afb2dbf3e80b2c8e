"""A made-up run for tests: posteriors, labels drawn from them, noisy logits."""

import numpy as np

from emojax import tasks
from emojax.data.clips.clips import Clips, Dataset
from emojax.evaluation import Predictions

SCHEMA = tasks.ABAW2021


def _softmax(x):
  odds = np.exp(x - x.max(-1, keepdims=True))
  return odds / odds.sum(-1, keepdims=True)


def _posterior_logits(rng, task, shape):
  """Logits whose sharpness differs from frame to frame."""
  sharp = rng.uniform(0.3, 3, (*shape, 1))
  if task.kind == 'binned':
    centre = rng.uniform(-0.8, 0.8, (*shape, 2, 1))
    width = rng.uniform(0.1, 0.5, (*shape, 2, 1))
    gap = (tasks.bin_values(task.bins) - centre) / width
    return (-0.5 * gap**2).reshape(*shape, -1)
  return sharp * rng.normal(size=(*shape, task.num_outputs))


def _posterior(task, logits):
  logits = tasks.split_logits(task, logits)
  probs = 1 / (1 + np.exp(-logits))
  return probs if task.kind == 'binary' else _softmax(logits)


def _draw(rng, task, probs):
  if task.kind == 'binary':
    return (rng.random(probs.shape) < probs).astype(np.float32)
  noise = rng.gumbel(size=probs.shape)
  index = (np.log(probs + 1e-12) + noise).argmax(-1)
  if task.kind == 'categorical':
    return np.eye(len(task.labels), dtype=np.float32)[index]
  return tasks.bin_values(task.bins)[index]


def make_clips(
  seed, schema=SCHEMA, clips=20, length=3, missing=0.2, truth=True
):
  """Returns (clips, logits of the true posteriors by task)."""
  rng = np.random.default_rng(seed)
  shape = (clips, length)
  frame_mask = np.ones(shape, np.float32)
  frame_mask[0, -1] = 0
  logits, targets, posteriors = {}, {}, {}
  for task in schema:
    logits[task.name] = _posterior_logits(rng, task, shape)
    probs = _posterior(task, logits[task.name])
    value = _draw(rng, task, probs)
    size = shape if task.kind == 'categorical' else value.shape
    mask = (rng.random(size) >= missing).astype(np.float32)
    targets[task.name] = tasks.Target(value, mask)
    posteriors[task.name] = probs.astype(np.float32)
  return Clips(
    image=rng.integers(0, 255, (*shape, 24, 24, 3)).astype(np.uint8),
    audio=None,
    targets=targets,
    frame_mask=frame_mask,
    clip_id=np.array([f'clip{seed}_{i}' for i in range(clips)]),
    subject_id=np.array([f'subject{seed}_{i}' for i in range(clips)]),
    truth=posteriors if truth else None,
  ), logits


class Run:
  """A data set and what imaginary models would predict for it."""

  def __init__(
    self, schema=SCHEMA, clips=20, length=3, missing=0.2, truth=True
  ):
    options = {'schema': schema, 'clips': clips, 'length': length}
    self.schema = schema
    self.sets, self.logits = {}, {}
    for seed, name in enumerate(('train', 'val', 'test')):
      self.sets[name], self.logits[name] = make_clips(
        seed, missing=missing, truth=truth, **options
      )
    foreign, logits = make_clips(9, missing=1, truth=False, **options)
    self.logits['ood/noise'] = {k: 0.5 * v for k, v in logits.items()}
    self.dataset = Dataset(
      train=self.sets['train'],
      groups={'all': np.arange(clips, dtype=np.int32)},
      val=self.sets['val'],
      test=self.sets['test'],
      ood={'noise': foreign},
      schema=schema,
      name='synthetic',
    )

  def predictions(
    self, name='Tea', members=3, noise=0.5, scale=1.0, passes=0, seed=0
  ) -> Predictions:
    """Posterior logits times `scale` plus noise of a member, and of a pass."""
    rng = np.random.default_rng(seed)

    def draw(name, *leading):
      spread = 2 * noise if name.startswith('ood') else noise
      return {
        task: np.float32(
          scale * value + spread * rng.normal(size=(*leading, *value.shape))
        )
        for task, value in self.logits[name].items()
      }

    sets = ('val', 'test', 'ood/noise')
    logits = {key: draw(key, members) for key in sets}
    mc = {}
    if passes:
      mc = {key: draw(key, members, passes) for key in sets[1:]}
    epochs = [m % 3 for m in range(members)]
    return Predictions(name, self.schema, logits, epochs, mc)
