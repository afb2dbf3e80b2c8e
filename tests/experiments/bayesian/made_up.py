"""Faces with made-up votes, and what imaginary networks predict for them."""

import numpy as np

from emojax import tasks
from emojax.data.clips.clips import Clips, Dataset
from emojax.evaluation import Predictions
from emojax.experiments.bayesian.faces import Faces

TASK = tasks.expr_task(tasks.FERPLUS)
CLASSES = len(TASK.labels)


def softmax(x):
  odds = np.exp(x - x.max(-1, keepdims=True))
  return odds / odds.sum(-1, keepdims=True)


def clips(name, count, seed, votes=True):
  """Clips whose labels are the most frequent of ten votes, if most agree."""
  rng = np.random.default_rng(seed)
  logits = 2.0 * rng.normal(size=(count, CLASSES))
  drawn = rng.multinomial(10, softmax(logits)).astype(np.float32)
  value = np.eye(CLASSES, dtype=np.float32)[drawn.argmax(-1)]
  mask = np.float32(drawn.max(-1) > 5)
  ids = np.array([f'{name}{i}' for i in range(count)])
  made = Clips(
    image=rng.integers(0, 256, (count, 1, 8, 8, 1)).astype(np.uint8),
    audio=None,
    targets={'expr': tasks.Target(value[:, None], mask[:, None])},
    frame_mask=np.ones((count, 1), np.float32),
    clip_id=ids,
    subject_id=ids,
    votes=drawn[:, None] if votes else None,
  )
  return made, logits


def faces(count=80, votes=True):
  """(faces, logits of the distributions behind the votes)."""
  test, logits = clips('test', count, 0, votes)
  train, _ = clips('train', 20, 1, votes)
  val, _ = clips('val', 20, 2, votes)
  foreign, _ = clips('noise', 30, 3, False)
  dataset = Dataset(
    train=train,
    groups={'expr': np.arange(20, dtype=np.int32)},
    val=val,
    test=test,
    ood={'noise': foreign},
    schema=(TASK,),
    name='made up',
  )
  shares = None
  if votes:
    shares = test.votes[:, 0] / test.votes[:, 0].sum(-1, keepdims=True)
  return Faces(dataset, 'test', shares), logits


def predictions(name, logits, members=6, passes=0, noise=1.0, seed=0):
  """True logits plus noise of each member and of each pass."""
  rng = np.random.default_rng(seed)
  foreign = np.zeros((30, CLASSES))
  sets, sampled = {}, {}
  for key, true in (('test', logits), ('ood/noise', foreign)):
    shape = (members, *true.shape)
    one = true + noise * rng.normal(size=shape)
    sets[key] = {'expr': np.float32(one)[:, :, None]}
    if passes:
      spread = noise * rng.normal(size=(members, passes, *true.shape))
      sampled[key] = {'expr': np.float32(one[:, None] + spread)[:, :, :, None]}
  return Predictions(name, (TASK,), sets, [1] * members, sampled)
