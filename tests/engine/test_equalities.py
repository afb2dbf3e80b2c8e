"""The engine's promise: how a stack is computed does not change its numbers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from emojax.engine import member, programs
from emojax.engine.trainer import member_keys


@pytest.fixture(scope='module', autouse=True)
def compiled_once(users_programs):
  """A program serves all tests that need one like it."""
  with pytest.MonkeyPatch.context() as patch:
    for name in ('init', 'generation', 'steps', 'finish', 'predict'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    yield


@functools.cache
def reference():
  """Three members, one by one, an epoch per call, on one device."""
  return toy.train(toy.trainer(), toy.generation())


def first(tree, m: int = 1):
  return jax.tree.map(lambda x: np.asarray(x)[m : m + 1], tree)


@pytest.mark.slow
def test_it_learns():
  _, logs, _ = reference()
  assert (logs['val/total'][:, -1] > logs['val/total'][:, 0]).all()
  assert (logs['loss/total'][:, -1] < logs['loss/total'][:, 0]).all()


@pytest.mark.slow
def test_members_differ():
  state, _, _ = reference()
  kernel = state.params.tree()['au']['kernel']
  assert np.abs(kernel[0] - kernel[1]).max() > 1e-3


def test_member_in_a_stack_is_the_member_alone():
  state, logs, _ = reference()
  alone, alone_logs, _ = toy.train(
    toy.trainer(members=1), toy.generation(members=1)
  )
  toy.assert_close(alone, first(state, 0))
  toy.assert_close(alone_logs, first(logs, 0))


@pytest.mark.slow
def test_vectorised_members_are_the_mapped_ones():
  state, _, soft = reference()
  # Two at a time leave one over: all three ways of mapping.
  other, _, other_soft = toy.train(toy.trainer(chunk=2), toy.generation())
  toy.assert_close(other, state)
  toy.assert_close(other_soft, soft)


@pytest.mark.slow
@pytest.mark.parametrize('epochs_per_call', [0, 3])
def test_segments_are_the_whole(epochs_per_call):
  state, logs, soft = reference()
  trainer = toy.trainer(epochs_per_call=epochs_per_call)
  other, other_logs, other_soft = toy.train(trainer, toy.generation())
  toy.assert_same(other, state)
  toy.assert_same(other_logs, logs)
  toy.assert_same(other_soft, soft)


def test_resumed_is_uninterrupted():
  state, _, soft = reference()
  trainer = toy.trainer()
  segments = trainer.segments(toy.generation(), trainer.init(0))
  next(segments)
  saved = trainer.portable(next(segments).state)
  fresh = toy.trainer()
  *_, segment = fresh.segments(toy.generation(), fresh.place(saved), 2)
  toy.assert_same(fresh.portable(segment.state), state)
  toy.assert_same(segment.soft_labels, soft)


def test_only_the_soft_labels_are_missing():
  state, _, soft = reference()
  trainer = toy.trainer()
  (segment,) = trainer.segments(toy.generation(), trainer.place(state), 4)
  toy.assert_same(trainer.portable(segment.state), state)
  toy.assert_same(segment.soft_labels, soft)


@pytest.mark.slow
@pytest.mark.parametrize(
  'stream_steps',
  [
    1,
    3,
    100,
  ],
)
def test_streamed_is_resident(stream_steps):
  state, logs, soft = reference()
  trainer = toy.trainer(stream_steps=stream_steps)
  other, other_logs, other_soft = toy.train(trainer, toy.generation())
  toy.assert_same(other, state)
  toy.assert_same(other_logs, logs)
  toy.assert_close(other_soft, soft, 1e-6)  # the mean is taken elsewhere


@pytest.mark.slow
@pytest.mark.parametrize(('members', 'devices'), [(4, 4), (5, 4)])
def test_devices_of_members(members, devices):
  generation = toy.generation(members)
  one = toy.train(toy.trainer(members), generation)
  many = toy.train(toy.trainer(members, member_devices=devices), generation)
  toy.assert_close(many, one)


@pytest.mark.slow
@pytest.mark.parametrize('mesh', [(1, 3), (2, 2)])
def test_devices_of_a_batch(mesh):
  # Batches of six clips; the loss, its gradients, BatchNorm and the random
  # draws are those of the whole batch.
  one = reference()
  many = toy.train(toy.trainer(3, *mesh), toy.generation())
  toy.assert_close(many[0].params, one[0].params, 2e-3)
  toy.assert_close(many[0].model_state, one[0].model_state, 2e-3)
  toy.assert_close(many[1], one[1], 1e-2)


@pytest.mark.slow
def test_streamed_over_devices():
  trainer = toy.trainer(3, 2, 2, stream_steps=2)
  many = toy.train(trainer, toy.generation())
  toy.assert_close(many[0].params, reference()[0].params, 2e-3)


@pytest.mark.slow
def test_pmap_of_vmap_is_the_same_program():
  trainer, generation = toy.trainer(4), toy.generation(4)
  state, logs, _ = toy.train(trainer, generation)
  method = toy.method()
  keys = member_keys(0, 0, 4)
  plan = trainer._plan(generation, range(4))
  inputs, val = jax.tree.map(jnp.asarray, jax.device_get(trainer._resident))
  train = member.Rows(inputs, jax.tree.map(jnp.asarray, generation.targets))

  def one(key, hparams, plan):
    fresh = member.init(method, key)
    return member.train_epochs(
      method,
      fresh,
      hparams,
      plan,
      jnp.int32(4),
      jnp.int32(generation.steps),
      train,
      val,
      4,
    )

  def fold(x):
    return x.reshape(2, 2, *x.shape[1:])

  out = jax.pmap(jax.vmap(one))(
    fold(keys), jax.tree.map(fold, generation.hparams), fold(plan)
  )
  flat = jax.tree.map(lambda x: np.asarray(x).reshape(4, *x.shape[2:]), out)
  toy.assert_close(flat, (state, logs))


@pytest.mark.slow
def test_no_collectives_between_members_while_training():
  trainer = toy.trainer(4, member_devices=4)
  program = programs.steps_program(trainer.method, trainer.mesh, 1)
  generation = toy.generation(4)
  state = trainer.init(0)
  sums = trainer.place(
    {k: np.zeros(4, np.float32) for k in trainer.method.loss_names}
  )
  plan = trainer._plan(generation, range(1))[:, 0]
  rows = member.Rows(
    {'image': np.stack([trainer.train.image] * 4)},
    jax.tree.map(lambda x: np.stack([x] * 4), generation.targets),
  )
  text = (
    program.lower(
      state,
      sums,
      trainer.place(generation.hparams),
      trainer.place(plan),
      jnp.int32(2),
      trainer.place(rows),
    )
    .compile()
    .as_text()
  )
  for collective in ('all-reduce', 'all-gather', 'all-to-all', 'permute('):
    assert collective not in text
