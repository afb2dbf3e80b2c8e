"""Vector scaling, Dirichlet calibration and isotonic maps against other libraries."""

import numpy as np
import pytest
import scipy.special
import sklearn.isotonic
import sklearn.linear_model
import threadpoolctl
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import tasks, uncertainty
from emojax.uncertainty import (
  dirichlet_calibration,
  isotonic,
  recalibration,
  temperature,
  vector_scaling,
)

AU = tasks.au_task(('AU1', 'AU2', 'AU4'))
EXPR = tasks.expr_task(('a', 'b', 'c', 'd'))
VA = tasks.va_task(4)
BINS = tasks.bin_values(4)
N = 400


def data(task, seed=0, frames=N):
  """Logits that are wrong by factors and offsets, and labels drawn of the truth."""
  rng = np.random.default_rng(seed)
  true = rng.normal(0, 1.5, (frames, task.num_outputs))
  wrong = 1.7 * true + rng.normal(0, 1, task.num_outputs)
  if task.kind == 'binary':
    value = rng.uniform(size=true.shape) < scipy.special.expit(true)
    return wrong, tasks.Target(np.float64(value), np.ones(value.shape))
  gumbel = rng.gumbel(size=true.shape)
  split = tasks.split_logits(task, true + gumbel)
  index = split.argmax(-1)
  if task.kind == 'categorical':
    return wrong, tasks.Target(np.eye(len(task.labels))[index], np.ones(frames))
  value = BINS[index]
  return wrong, tasks.Target(value, np.ones(value.shape))


def fits(task, logits, target):
  """Name -> probabilities of every map, fitted to the same frames."""
  values = BINS if task.kind == 'binned' else None
  vector = vector_scaling.fit(task, logits, target, values)
  dirichlet = dirichlet_calibration.fit(
    task, logits, target, 0.01, 0.01, bin_values=values
  )
  steps = isotonic.fit(task, logits, target, values)
  scaled = vector_scaling.apply(task, logits, vector)
  return {
    'vector': uncertainty.probabilities(task, scaled),
    'dirichlet': dirichlet_calibration.apply(task, logits, dirichlet),
    'isotonic': isotonic.apply(task, logits, steps),
  }


def nll(task, probs, target):
  if task.kind == 'binary':
    p = np.where(target.value > 0, probs, 1 - probs)
  elif task.kind == 'categorical':
    p = (probs * target.value).sum(-1)
  else:
    index = np.abs(target.value[..., None] - BINS).argmin(-1)
    p = np.take_along_axis(probs, index[..., None], -1)
  return -np.log(p).mean()


@pytest.mark.parametrize('task', [AU, EXPR, VA], ids=lambda t: t.name)
def test_maps_are_distributions_that_fit_better(task):
  logits, target = data(task)
  before = uncertainty.probabilities(task, logits)
  for name, probs in fits(task, logits, target).items():
    assert probs.shape == before.shape, name
    assert (probs >= 0).all()
    assert (probs <= 1).all()
    if task.kind != 'binary':
      np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-9)
    assert nll(task, probs, target) < nll(task, before, target) - 0.05, name


def test_vector_scaling_of_a_unit_is_logistic_regression():
  logits, target = data(AU)
  found = vector_scaling.fit(AU, logits, target)
  for i in range(3):
    oracle = sklearn.linear_model.LogisticRegression(C=np.inf, tol=1e-8)
    oracle.fit(logits[:, i : i + 1], target.value[:, i])
    np.testing.assert_allclose(found.scale[i], oracle.coef_[0, 0], rtol=1e-3)
    np.testing.assert_allclose(found.shift[i], oracle.intercept_[0], atol=2e-3)


def torch_minimum(loss, *start):
  """Parameters at the minimum of a loss, by PyTorch."""
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  parameters = [
    torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in start
  ]
  steps = torch.optim.LBFGS(
    parameters,
    max_iter=500,
    tolerance_grad=1e-10,
    line_search_fn='strong_wolfe',
  )

  def closure():
    steps.zero_grad()
    value = loss(torch, *parameters)
    value.backward()
    return value

  steps.step(closure)
  return [p.detach().numpy() for p in parameters]


def test_vector_scaling_of_classes_matches_torch():
  logits, target = data(EXPR)

  def loss(torch, scale, shift):
    outputs = torch.tensor(logits) * scale + shift
    return torch.nn.functional.cross_entropy(
      outputs, torch.tensor(target.value)
    )

  scale, shift = torch_minimum(loss, np.ones(4), np.zeros(4))
  found = vector_scaling.fit(EXPR, logits, target)
  np.testing.assert_allclose(found.scale, scale, rtol=1e-4)
  np.testing.assert_allclose(found.shift, shift - shift.mean(), atol=1e-4)


def test_dirichlet_calibration_matches_torch():
  logits, target = data(EXPR)
  strength, mu = 0.5, 0.2

  def loss(torch, weight, bias):
    logs = torch.log_softmax(torch.tensor(logits), -1)
    value = torch.nn.functional.cross_entropy(
      logs @ weight.T + bias, torch.tensor(target.value)
    )
    off = weight - torch.diag(torch.diag(weight))
    return value + strength * (off**2).sum() / 12 + mu * (bias**2).sum() / 4

  weight, bias = torch_minimum(loss, np.eye(4), np.zeros(4))
  found = dirichlet_calibration.fit(EXPR, logits, target, strength, mu)
  np.testing.assert_allclose(found.weight[0], weight, atol=1e-4)
  np.testing.assert_allclose(found.bias[0], bias, atol=1e-4)


def test_dirichlet_calibration_without_penalty_is_multinomial_regression():
  logits, target = data(EXPR)
  found = dirichlet_calibration.fit(EXPR, logits, target, 0, 0)
  probs = dirichlet_calibration.apply(EXPR, logits, found)
  logs = scipy.special.log_softmax(logits, -1)
  oracle = sklearn.linear_model.LogisticRegression(
    C=np.inf, tol=1e-8, max_iter=1000
  ).fit(logs, target.value.argmax(-1))
  np.testing.assert_allclose(probs, oracle.predict_proba(logs), atol=1e-3)


def test_penalties_shrink_what_they_are_of():
  logits, target = data(EXPR)
  found = dirichlet_calibration.fit(EXPR, logits, target, 1e5, 1e5)
  off = found.weight[0] - np.diag(np.diag(found.weight[0]))
  assert np.abs(off).max() < 1e-3
  assert np.abs(found.bias).max() < 1e-3
  assert np.abs(np.diag(found.weight[0]) - 1).max() > 0.1
  with pytest.raises(ValueError, match='penalties'):
    dirichlet_calibration.fit(EXPR, logits, target, -1, 0)


def test_the_penalty_is_chosen_by_people():
  # Thirty frames with many parameters: little penalty fits noise.
  logits, target = data(EXPR, frames=30)
  groups = np.arange(30) // 3
  few = dirichlet_calibration.choose(EXPR, logits, target, groups)
  logits, target = data(EXPR, frames=1200)
  groups = np.arange(1200) // 3
  many = dirichlet_calibration.choose(EXPR, logits, target, groups)
  assert many < few
  with pytest.raises(ValueError, match='2 groups for 3 folds'):
    dirichlet_calibration.choose(EXPR, logits, target, groups % 2)
  part = tasks.Target(target.value, target.mask * (groups > 5))
  with pytest.raises(ValueError, match='all labels'):
    dirichlet_calibration.choose(EXPR, logits, part, groups)


@given(st.integers(0, 1000), st.integers(1, 9))
@settings(deadline=None, max_examples=25)
def test_isotonic_steps_are_those_of_scikit_learn(seed, places):
  rng = np.random.default_rng(seed)
  x = rng.integers(0, 10 * places, 60) / (10 * places)  # with ties
  y = np.float64(rng.uniform(size=60) < x**2)
  steps = isotonic.fit_steps(x, y)
  oracle = sklearn.isotonic.IsotonicRegression(out_of_bounds='clip').fit(x, y)
  grid = np.linspace(-0.1, 1.1, 97)
  found = np.interp(grid, *steps)
  np.testing.assert_allclose(found, oracle.predict(grid), atol=1e-9)
  assert (np.diff(found) >= 0).all()


def test_fits_do_not_wait_for_threads_of_blas():
  seen = []

  def threads():
    found = threadpoolctl.threadpool_info()
    return {x['num_threads'] for x in found if x['user_api'] == 'blas'}

  def objective(x):
    seen.append(threads())
    return x @ x, 2 * x

  with threadpoolctl.threadpool_limits(2, user_api='blas'):
    recalibration.minimise(objective, np.ones(2), 5.0)
    assert threads() == {2}
  assert seen
  assert all(one == {1} for one in seen)


def test_isotonic_classes_are_one_against_the_rest():
  logits, target = data(EXPR)
  found = isotonic.apply(EXPR, logits, isotonic.fit(EXPR, logits, target))
  probs = scipy.special.softmax(logits, -1)
  columns = [
    sklearn.isotonic.IsotonicRegression().fit_transform(p, y)
    for p, y in zip(probs.T, target.value.T)
  ]
  expected = np.stack(columns, -1)
  expected /= expected.sum(-1, keepdims=True)
  np.testing.assert_allclose(found, expected, atol=1e-9)
  nowhere = isotonic.Steps(np.array([0.0, 1.0]), np.zeros(2))
  flat = isotonic.apply(EXPR, logits, ((nowhere,) * 4,))
  np.testing.assert_allclose(flat, 0.25)


def test_isotonic_units_keep_their_order():
  logits, target = data(AU)
  fitted = isotonic.fit(AU, logits, target)
  found = isotonic.apply(AU, np.sort(logits, axis=0), fitted)
  assert (np.diff(found, axis=0) >= 0).all()
  assert (np.diff(found, axis=0) > 0).any()


def test_temperatures_keep_every_decision_and_maps_need_not():
  logits, target = data(EXPR)
  t = temperature.fit(EXPR, logits, target)
  scaled = temperature.apply(EXPR, logits, t)
  np.testing.assert_array_equal(scaled.argmax(-1), logits.argmax(-1))
  for name, probs in fits(EXPR, logits, target).items():
    assert (probs.argmax(-1) != logits.argmax(-1)).any(), name


@pytest.mark.parametrize('task', [AU, EXPR, VA], ids=lambda t: t.name)
def test_what_is_masked_may_hold_anything(task):
  logits, target = data(task)
  junk = np.concatenate([logits, np.full((5, task.num_outputs), np.nan)])
  more = tasks.Target(
    *(np.concatenate([x, np.full((5, *x.shape[1:]), fill)])
      for x, fill in zip(target, (np.inf, 0)))
  )  # fmt: skip
  # Clips of frames: any leading shape.
  shape = (3, 135)
  folded = tasks.Target(*(x.reshape(*shape, *x.shape[1:]) for x in more))
  values = BINS if task.kind == 'binned' else None
  for module in (vector_scaling, isotonic):
    expected = module.fit(task, logits, target, values)
    found = module.fit(task, junk.reshape(*shape, -1), folded, values)
    np.testing.assert_equal(found, expected)
    out = module.apply(task, logits.reshape(2, 200, -1), expected)
    np.testing.assert_allclose(
      out.reshape(N, -1),
      module.apply(task, logits, expected).reshape(N, -1),
    )


def test_a_class_without_an_example_is_named():
  logits, target = data(AU)
  target.value[:, 1] = 0
  with pytest.raises(ValueError, match='AU2: no frame to fit has present'):
    vector_scaling.fit(AU, logits, target)
  logits, target = data(EXPR)
  rows = target.value[:, 2] == 0
  part = tasks.Target(target.value[rows], target.mask[rows])
  with pytest.raises(ValueError, match='expr: no frame to fit has c'):
    isotonic.fit(EXPR, logits[rows], part)
  logits, target = data(VA)
  rows = target.value[:, 0] < 0.9
  part = tasks.Target(target.value[rows], target.mask[rows])
  with pytest.raises(ValueError, match='valence: no frame to fit has bin 3'):
    dirichlet_calibration.fit(VA, logits[rows], part, 0, 0, bin_values=BINS)
  with pytest.raises(ValueError, match='bin_values'):
    vector_scaling.fit(VA, logits, target)


def test_networks_that_have_diverged_are_refused():
  logits, target = data(AU)
  logits[3, 0] = np.nan
  with pytest.raises(ValueError, match='AU1: logits and labels'):
    isotonic.fit(AU, logits, target)
  logits[3, 0] = 0
  target.value[4, 1] = np.nan
  with pytest.raises(ValueError, match='AU2: logits and labels'):
    isotonic.fit(AU, logits, target)
  with pytest.raises(ValueError, match='equal'):
    vector_scaling.fit(EXPR, data(AU)[0], data(EXPR)[1])


def test_labels_that_can_be_separated_end_at_the_limit():
  logits, _ = data(AU)
  target = tasks.Target(np.float64(logits > 0), np.ones(logits.shape))
  found = vector_scaling.fit(AU, logits, target)
  assert np.isfinite(found.scale).all()
  assert (found.scale > 3).all()
  assert np.abs(found.scale).max() <= vector_scaling.LIMIT


def test_columns_and_tasks_are_inverse():
  for task in (AU, EXPR, VA):
    logits = data(task)[0]
    parts = [
      scipy.special.softmax(part, -1)
      for part in recalibration.apart(task, logits)
    ]
    np.testing.assert_allclose(
      recalibration.joined(task, parts),
      uncertainty.probabilities(task, logits),
      rtol=1e-12,
    )
