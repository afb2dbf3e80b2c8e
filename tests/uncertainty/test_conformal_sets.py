"""Sets of the tasks: fitted, made, and as often right as they promise."""

import numpy as np
import pytest

from emojax import tasks
from emojax.metrics import calibration
from emojax.uncertainty import conformal, conformal_sets
from emojax.uncertainty.conformal_examples import DEFAULTS, METHODS, parts

AU, EXPR, VA = SCHEMA = (
  tasks.au_task(('AU1', 'AU2', 'AU4')),
  tasks.expr_task(),
  tasks.va_task(),
)
BINS = tasks.bin_values()
LEVELS = (0.8, 0.9)
ALL = [(t, m) for t in SCHEMA for m in METHODS[t.kind]]
NAMES = [f'{t.name}-{m}' for t, m in ALL]


def frames(task, count, seed, members=2):
  """(probabilities of members, labels drawn from near them)."""
  rng = np.random.default_rng(seed)
  if task.kind == 'binary':
    p = rng.beta(0.7, 0.7, (count, len(task.labels)))
    value = np.float32(rng.random(p.shape) < p)
    mask = np.float32(rng.random(p.shape) < 0.9)
  elif task.kind == 'categorical':
    p = rng.dirichlet(np.full(len(task.labels), 0.5), count)
    votes = np.stack([rng.multinomial(10, row / row.sum()) for row in p])
    value, mask = np.float32(votes / 10), np.ones(count, np.float32)
  else:
    centre = rng.uniform(-0.9, 0.9, (count, 2))
    p = np.exp(-8 * (BINS - centre[..., None]) ** 2)
    p /= p.sum(-1, keepdims=True)
    value = np.float32(
      np.clip(centre + 0.3 * rng.normal(size=(count, 2)), -1, 1)
    )
    mask = np.ones((count, 2), np.float32)
  noisy = np.stack([_power(task, p, x) for x in rng.uniform(0.8, 1.2, members)])
  return noisy, tasks.Target(value, mask)


def _power(task, p, exponent):
  if task.kind == 'binary':
    return p**exponent / (p**exponent + (1 - p) ** exponent)
  return p**exponent / (p**exponent).sum(-1, keepdims=True)


def hits(task, method, found, target):
  """Part -> share of its frames' labels in their sets, one group a frame."""
  value, keep = target.value, target.mask > 0
  if task.kind == 'binary':
    right = (found == -1) | (found == (value >= 0.5))
    if method == 'joint':
      return {'all': (right | ~keep).all(-1)[keep.any(-1)].mean()}
    return {
      f'{unit}/{name}': right[
        keep[:, i] & ((value[:, i] >= 0.5) == s), i
      ].mean()
      for i, unit in enumerate(task.labels)
      for s, name in enumerate(('absent', 'present'))
    }
  if task.kind == 'binned':
    inside = (found[..., 0] <= value) & (value <= found[..., 1])
    return dict(zip(task.labels, inside.mean(0)))
  if method == 'vote_classes':
    return {'all': (found | (value < 0.2 - 1e-6)).all(-1).mean()}
  if method == 'by_class':
    shares = [v @ f / v.sum() for v, f in zip(value.T, found.T)]
    return dict(zip(task.labels, shares))
  return {'all': (found * value).sum(-1).mean()}


@pytest.mark.parametrize(('task', 'method'), ALL, ids=NAMES)
def test_sets_hold_the_truth_as_often_as_they_promise(task, method):
  calibrated, tested = 400, 2000
  probs, target = frames(task, calibrated, 0)
  groups = np.arange(calibrated)
  fitted = conformal_sets.fit(task, method, probs, target, groups, LEVELS, BINS)
  assert tuple(fitted) == parts(task, method)
  probs, target = frames(task, tested, 1)
  for level in LEVELS:
    found = conformal_sets.sets(task, method, probs, fitted, level, BINS)
    for name, share in hits(task, method, found, target).items():
      low, high = conformal.observed_band(
        fitted[name].groups, level, tested // 20, 0.999
      )
      assert share >= low, (name, level)
      # Units with both states refused, and ties of whole bins, are over it.
      assert share <= high + 0.05, (name, level)


@pytest.mark.parametrize(('task', 'method'), ALL, ids=NAMES)
def test_one_frame_is_too_few(task, method):
  probs, target = frames(task, 1, 0)
  target = target._replace(mask=np.ones_like(target.mask))
  fitted = conformal_sets.fit(task, method, probs, target, [0], LEVELS, BINS)
  found = conformal_sets.sets(task, method, probs, fitted, 0.9, BINS)
  if task.kind == 'categorical':
    assert found.all()
  elif task.kind == 'binary':
    assert (found == -1).all()
  else:
    np.testing.assert_array_equal(found[0], [[-1, 1], [-1, 1]])


@pytest.mark.parametrize(('task', 'method'), ALL, ids=NAMES)
def test_copies_of_a_persons_frames_change_nothing(task, method):
  probs, target = frames(task, 30, 0)
  copies = np.repeat(np.arange(30), np.arange(30) % 4 + 1)
  several = tasks.Target(*(array[copies] for array in target))
  pair = (
    conformal_sets.fit(
      task, method, probs, target, np.arange(30), LEVELS, BINS
    ),
    conformal_sets.fit(
      task, method, probs[:, copies], several, copies, LEVELS, BINS
    ),
  )
  assert pair[0] == pair[1]


@pytest.mark.parametrize('method', ['aps', 'raps'])
def test_the_surest_faces_have_a_set(method):
  """By its threshold alone the likeliest class is out where it is surest."""
  rng = np.random.default_rng(0)
  probs = rng.dirichlet(np.full(len(EXPR.labels), 0.3), (1, 500))
  value = np.float32([rng.multinomial(1, p / p.sum()) for p in probs[0]])
  target = tasks.Target(value, np.ones(500, np.float32))
  fitted = conformal_sets.fit(
    EXPR, method, probs, target, np.arange(500), LEVELS
  )
  found = conformal_sets.sets(EXPR, method, probs, fitted, 0.8)
  limit = conformal_sets.limits(EXPR, method, fitted, 0.8)
  alone = conformal_sets.class_scores(method, probs[0]) <= limit
  assert not alone[probs[0].max(-1).argmax()].any()
  assert found[np.arange(500), probs[0].argmax(-1)].all()
  assert (found | alone == found).all()
  assert (found.sum(-1)[~alone.any(-1)] == 1).all()


def test_probabilities_of_units_are_labels_in_part():
  """Sets hold a state that is drawn by its probability, not the likelier one."""
  unit, count = tasks.au_task(('AU1', 'AU2')), 6000
  rng = np.random.default_rng(0)
  share = rng.beta(2, 2, (count, 2))
  probs = np.clip(share + rng.uniform(-0.05, 0.05, share.shape), 0, 1)[None]
  target = tasks.Target(np.float32(share), np.ones((count, 2), np.float32))
  half = slice(0, count // 2)
  fitted = conformal_sets.fit(
    unit, 'units', probs[:, half], tasks.Target(*(x[half] for x in target)),
    np.arange(count // 2), (0.9,),
  )  # fmt: skip
  found = conformal_sets.sets(unit, 'units', probs, fitted, 0.9)
  drawn = rng.random(share.shape) < share
  for state in (False, True):
    right = (found == -1) | (found == state)
    covered = right[count // 2 :][drawn[count // 2 :] == state].mean()
    assert covered == pytest.approx(0.9, abs=0.02)
  with pytest.raises(ValueError, match="as 'joint' asks; use 'units'"):
    conformal_sets.fit(unit, 'joint', probs, target, np.arange(count), (0.9,))


def test_votes_are_covered_by_their_mass():
  """The threshold of LAC is that of conformal risk control, by brute force."""
  probs, target = frames(EXPR, 50, 3)
  fitted = conformal_sets.fit(EXPR, 'lac', probs, target, np.arange(50), LEVELS)
  scores = 1 - np.float64(probs).mean(0)
  for level in LEVELS:
    risk = [
      (50 * (1 - (target.value * (scores <= t)).sum(-1).mean()) + 1) / 51
      for t in np.sort(scores.ravel())
    ]
    index = np.argmax(np.array(risk) <= 1 - level + 1e-6)
    expected = np.sort(scores.ravel())[index]
    assert fitted['all'].thresholds[level] == pytest.approx(expected)


def test_intervals_hold_the_bin_of_the_label():
  probs, target = frames(VA, 200, 0)
  fitted = conformal_sets.fit(
    VA, 'mass', probs, target, np.arange(200), LEVELS, BINS
  )
  found = conformal_sets.sets(VA, 'mass', probs, fitted, 0.8, BINS)
  ends = np.stack(
    [calibration.bin_index(found[..., i], BINS, 'nearest') for i in (0, 1)]
  )
  index = calibration.bin_index(target.value, BINS, 'nearest')
  inside = (ends[0] <= index) & (index <= ends[1])
  assert (inside.mean(0) >= 0.8).all()


def test_an_unknown_method_or_coverage_is_named():
  probs, target = frames(EXPR, 9, 0)
  with pytest.raises(
    ValueError, match="'expr': no method 'units', expected one"
  ):
    conformal_sets.fit(EXPR, 'units', probs, target, np.arange(9), LEVELS)
  fitted = conformal_sets.fit(EXPR, 'lac', probs, target, np.arange(9), LEVELS)
  with pytest.raises(ValueError, match=r'coverage of 0.7, only for 0.8, 0.9'):
    conformal_sets.sets(EXPR, 'lac', probs, fitted, 0.7)


@pytest.mark.parametrize('method', METHODS['binned'])
def test_intervals_need_the_values_of_their_bins(method):
  probs, target = frames(VA, 9, 0)
  fitted = conformal_sets.fit(
    VA, method, probs, target, np.arange(9), LEVELS, BINS
  )
  with pytest.raises(ValueError, match="'va' is binned: pass bin_values"):
    conformal_sets.sets(VA, method, probs, fitted, 0.8)


def test_every_kind_has_a_method_by_default():
  assert all(DEFAULTS[kind] in METHODS[kind] for kind in METHODS)
