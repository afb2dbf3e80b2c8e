"""Batch losses of papers 001 and 002, against their equations written out."""

import jax
import numpy as np
import pytest

from emojax import tasks
from emojax.losses import incomplete, two_stage
from emojax.losses.two_stage import Options

N, LENGTH = 4, 2
VALUES = tasks.bin_values()
THREE = (('au',), ('expr',), ('va',))  # subsets of paper 001
MIXED = (('expr',), ('va',), ('expr', 'va'))  # of paper 002
concordance = jax.jit(incomplete.concordance, static_argnums=0)
PAIR = (tasks.expr_task(), tasks.va_task())


def batch(schema, subsets, seed=0, extra=0.0):
  """Logits, targets (with `extra` labels of other tasks), mask, teacher."""
  rng = np.random.default_rng(seed)
  shape = (N * len(subsets), LENGTH)
  logits, teacher = (
    {
      t.name: rng.normal(0, 2, (*shape, t.num_outputs)).astype(np.float32)
      for t in schema
    }
    for _ in range(2)
  )
  targets = {}
  for task in schema:
    value, mask = tasks.empty_targets((task,), shape)[task.name]
    for i, names in enumerate(subsets):
      rows = slice(i * N, (i + 1) * N)
      known = rng.random(shape)[rows] < extra
      known |= task.name in names
      mask[rows] = known if task.kind == 'categorical' else known[..., None]
    if task.kind == 'binary':
      value[:] = rng.integers(0, 2, value.shape)
    elif task.kind == 'categorical':
      value[:] = np.eye(len(task.labels))[rng.integers(0, 7, shape)]
    else:
      value[:] = rng.uniform(-1, 1, value.shape)
    targets[task.name] = tasks.Target(value, mask)
  frame_mask = np.ones(shape, np.float32)
  frame_mask[1, 1] = 0
  return logits, targets, frame_mask, teacher


def written_out(schema, subsets, data, options, students, shared):
  """Eqs. 13 and 14 of 001, or 7-10 of 002, instance by instance."""
  logits, targets, frame_mask, teacher = data
  total, weight = 0.0, options.supervision_weight
  for i, names in enumerate(subsets):
    rows = [
      (n, t)
      for n in range(i * N, (i + 1) * N)
      for t in range(LENGTH)
      if frame_mask[n, t]
    ]
    for task in schema:
      out, target = logits[task.name], targets[task.name]
      seen = task.name in names or shared
      known = [r for r in rows if seen and np.any(target.mask[r])]
      hard = np.array(incomplete.supervision(task, out, target))
      if task.kind == 'binned' and known:
        index = tuple(np.array(known).T)
        part = tasks.Target(target.value[index], target.mask[index])
        ccc = concordance(task, out[index], part, VALUES)
        hard += ccc / (len(known) if options.portion == 'paper' else 1)
      soft = options.distillation_scale * incomplete.distillation(
        task,
        out,
        teacher[task.name],
        options.temperature,
        options.divergence,
      )
      for r in rows:
        if not students:
          total += hard[r] / len(rows) if r in known else 0
        elif r in known:
          total += (weight * hard[r] + (1 - weight) * soft[r]) / len(rows)
        else:
          total += soft[r] / len(rows)
  return total


def loss_of(schema, subsets, data, options, students, shared):
  logits, targets, frame_mask, teacher = data
  own = two_stage.own_labels(schema, subsets)
  return two_stage.two_stage_loss(
    logits,
    targets,
    frame_mask,
    schema,
    np.ones_like(own) if shared else own,
    bin_values=VALUES,
    options=options,
    teacher=teacher if students else None,
  )


@pytest.mark.parametrize('portion', two_stage.PORTIONS)
@pytest.mark.parametrize('students', [False, True], ids=['teacher', 'student'])
def test_paper_001(students, portion):
  data = batch(tasks.ABAW2020, THREE)
  options = Options(portion=portion)
  arguments = tasks.ABAW2020, THREE, data, options, students, False
  loss, losses = loss_of(*arguments)
  np.testing.assert_allclose(loss, written_out(*arguments), rtol=1e-4)
  np.testing.assert_allclose(loss, sum(losses.values()), rtol=1e-6)


@pytest.mark.parametrize('shared', [False, True], ids=['own', 'shared'])
@pytest.mark.parametrize('students', [False, True], ids=['teacher', 'student'])
def test_paper_002(students, shared):
  data = batch(PAIR, MIXED, extra=0.5)
  options = Options(divergence='kl', distillation_scale=2.25)
  arguments = PAIR, MIXED, data, options, students, shared
  loss, _ = loss_of(*arguments)
  np.testing.assert_allclose(loss, written_out(*arguments), rtol=1e-4)


def test_sharing_matters_only_where_there_are_shared_labels():
  for extra in (0.0, 0.5):
    data = batch(PAIR, MIXED, extra=extra)
    both = [
      float(loss_of(PAIR, MIXED, data, Options(), True, shared)[0])
      for shared in (False, True)
    ]
    assert (both[0] == both[1]) == (extra == 0)


def test_labels_of_other_tasks_do_not_reach_the_teacher():
  data = batch(tasks.ABAW2020, THREE, extra=0.5)

  def total(logits):
    return loss_of(
      tasks.ABAW2020, THREE, (logits, *data[1:]), Options(), False, False
    )[0]

  gradient = jax.jit(jax.grad(total))(data[0])
  for i, name in enumerate(('au', 'expr', 'va')):
    rows = np.zeros(3 * N, bool)
    rows[i * N : (i + 1) * N] = True
    assert gradient[name][rows].any()
    assert not gradient[name][~rows].any()


def test_students_learn_every_task_of_every_instance():
  data = batch(tasks.ABAW2020, THREE)

  def total(logits):
    return loss_of(
      tasks.ABAW2020, THREE, (logits, *data[1:]), Options(), True, False
    )[0]

  gradient = jax.jit(jax.grad(total))(data[0])
  for value in gradient.values():
    reached = np.abs(value).max(-1) > 0
    np.testing.assert_array_equal(reached, data[2] > 0)  # but for padding


def test_a_batch_without_any_frame():
  logits, targets, frame_mask, teacher = batch(PAIR, MIXED)
  data = logits, targets, np.zeros_like(frame_mask), teacher

  def total(logits):
    return loss_of(PAIR, MIXED, (logits, *data[1:]), Options(), True, True)[0]

  value, gradient = jax.jit(jax.value_and_grad(total))(logits)
  assert value == 0
  assert not any(g.any() for g in gradient.values())


def test_a_batch_that_cannot_be_cut():
  data = batch(PAIR, MIXED[:2])
  with pytest.raises(ValueError, match='8 clips cannot be cut into 3'):
    loss_of(PAIR, MIXED, data, Options(), False, False)


def test_published_portion_against_the_published_formula():
  # Mean cross-entropies plus 1 - CCC once, in PyTorch.
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  functional = torch.nn.functional
  data = batch(tasks.ABAW2020, THREE)
  data = (*data[:2], np.ones_like(data[2]), data[3])
  options = Options(portion='published')
  _, losses = loss_of(tasks.ABAW2020, THREE, data, options, False, False)
  rows = [slice(i * N, (i + 1) * N) for i in range(3)]
  au, expr, va = (
    torch.tensor(data[0][name][r]).flatten(0, 1)
    for name, r in zip(('au', 'expr', 'va'), rows)
  )
  y = [data[1][n].value[r] for n, r in zip(('au', 'expr', 'va'), rows)]
  y_au, y_expr, y_va = (torch.tensor(v).flatten(0, 1) for v in y)
  want = 8 * functional.binary_cross_entropy_with_logits(au, y_au)
  np.testing.assert_allclose(losses['au'], want, rtol=1e-5)
  want = functional.cross_entropy(expr, y_expr.argmax(-1))
  np.testing.assert_allclose(losses['expr'], want, rtol=1e-5)
  want, edges = 0.0, np.linspace(-1, 1, 21)
  for d, logits in enumerate(va.split(20, -1)):
    number = torch.tensor(np.digitize(y_va[:, d], edges) - 1)
    want += functional.cross_entropy(logits, number)
    x = logits.softmax(-1) @ torch.linspace(-1, 1, 20)
    both = torch.stack([x, y_va[:, d]])
    cov = torch.cov(both)
    spread = cov[0, 0] + cov[1, 1] + (both[0].mean() - both[1].mean()) ** 2
    want += 1 - 2 * cov[0, 1] / spread
  np.testing.assert_allclose(losses['va'], want, rtol=1e-4)
