"""Schedules by step, averaged weights, weight decay, mixup and selection by NLL:
what the engine makes of them, however a stack is computed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from engine import toy

from emojax import losses
from emojax.engine import checkpoint, member, methods, optimisation, programs

EPOCHS = 4


def cosine(warmup=0.5):
  return optimisation.schedule('cosine', EPOCHS, warmup)


def onecycle():
  return optimisation.schedule('onecycle', EPOCHS, 1.2)


def scheduled(made):
  return {'schedule': made.factor, 'stepwise': made.stepwise}


OPTIONS = {
  'cosine': scheduled(cosine()),
  'onecycle': scheduled(onecycle()),
  'ema': {'ema': 0.9},
  'weight_decay': {'weight_decay': 0.3},
  'mixup': {'mixup': 0.4},
  'nll': {'select': 'nll'},
}
ALL = {k: v for name in OPTIONS for k, v in OPTIONS[name].items()}
ALL |= scheduled(cosine())


@pytest.fixture(scope='module', autouse=True)
def compiled_once(users_programs):
  """A program serves all tests that need one like it."""
  with pytest.MonkeyPatch.context() as patch:
    for name in ('init', 'generation', 'steps', 'finish', 'predict'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    yield


def slow(name):
  """Each is a program to compile."""
  return pytest.param(name, marks=pytest.mark.slow)


@functools.cache
def maker(name):
  options = ALL if name == 'all' else OPTIONS[name]
  return functools.cache(lambda axis_name: toy.method(axis_name, **options))


def trainer(name='all', members=3, *mesh, **settings):
  return toy.trainer(members, *mesh, method=maker(name), **settings)


@functools.cache
def reference(name='all'):
  return toy.train(trainer(name), toy.generation())


@pytest.mark.slow
@pytest.mark.parametrize('name', sorted(OPTIONS))
def test_an_option_changes_the_training(name):
  plain = toy.train(toy.trainer(), toy.generation())
  best = jax.tree.leaves(reference(name)[0].best)
  other = jax.tree.leaves(plain[0].best)
  assert any(not np.array_equal(a, b) for a, b in zip(best, other))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['all', *map(slow, sorted(OPTIONS))])
def test_resumed_is_uninterrupted(name, tmp_path):
  state, _, soft = reference(name)
  first = trainer(name)
  segments = first.segments(toy.generation(), first.init(0))
  next(segments)
  checkpoints = checkpoint.Checkpoints(tmp_path)
  checkpoints.save(2, first.portable(next(segments).state))
  fresh = trainer(name)
  epoch, saved = checkpoints.restore_latest(fresh.shapes(fresh.init(0)))
  checkpoints.close()
  *_, segment = fresh.segments(toy.generation(), fresh.place(saved), epoch)
  toy.assert_same(fresh.portable(segment.state), state)
  toy.assert_same(segment.soft_labels, soft)


@pytest.mark.slow
@pytest.mark.parametrize('epochs_per_call', [0, 3])
def test_segments_are_the_whole(epochs_per_call):
  found = toy.train(trainer(epochs_per_call=epochs_per_call), toy.generation())
  toy.assert_same(found, reference())


@pytest.mark.slow
def test_streamed_is_resident():
  state, logs, _ = toy.train(trainer(stream_steps=2), toy.generation())
  toy.assert_same((state, logs), reference()[:2])


@pytest.mark.slow
def test_member_in_a_stack_is_the_member_alone():
  alone, logs, _ = toy.train(trainer(members=1), toy.generation(1))
  first = jax.tree.map(lambda x: np.asarray(x)[:1], reference()[:2])
  toy.assert_close((alone, logs), first)


@pytest.mark.slow
def test_vectorised_members_are_the_mapped_ones():
  toy.assert_close(toy.train(trainer(chunk=2), toy.generation()), reference())


@pytest.mark.slow
@pytest.mark.parametrize('mesh', [(1, 3), (2, 2)])
def test_devices_of_a_batch(mesh):
  # Partners of mixup are anywhere in the whole batch.
  state, logs, _ = toy.train(trainer('all', 3, *mesh), toy.generation())
  one = reference()
  toy.assert_close(state.params, one[0].params, 2e-3)
  toy.assert_close(member.weights(state), member.weights(one[0]), 2e-3)
  toy.assert_close(logs, one[1], 1e-2)


def steps(method, count, epoch_steps, state=None):
  """States of a member before and after each of some steps."""
  generation = toy.generation(1)
  hparams = {k: v[0] for k, v in generation.hparams.items()}
  if method.stepwise:
    hparams['epoch_steps'] = jnp.int32(epoch_steps)
  rows = member.Rows({'image': toy.train_clips().image}, generation.targets)
  rows = jax.tree.map(jnp.asarray, rows)
  step = jax.jit(functools.partial(member.train_step, method))
  states = [state or member.init(method, jax.random.key(3))]
  rng = np.random.default_rng(0)
  for k in range(count):
    batch = rows.take(rng.integers(0, 30, 6))
    now = states[-1]._replace(epoch=jnp.int32(k // epoch_steps))
    states.append(step(now, batch, hparams)[0])
  return states


@pytest.mark.slow
def test_average_is_that_of_numpy():
  states = steps(toy.method(ema=0.7), 40, 10)
  averages = [state.opt_state[1:] for state in states]
  for i in range(2):  # weights, and the statistics of BatchNorm
    now = np.float64(states[0][i].vectors['float32'])
    for t, state in enumerate(states[1:]):
      decay = min(0.7, (1 + t) / (10 + t))
      now = decay * now + (1 - decay) * state[i].vectors['float32']
      np.testing.assert_allclose(
        averages[t + 1][i].vectors['float32'], now, rtol=1e-5, atol=1e-6
      )
  plain = steps(toy.method(), 40, 10)[-1]
  toy.assert_close(states[-1].params, plain.params)  # it trains as without


def test_what_is_not_a_float_is_taken_as_it_is():
  old = member.Averaged((), {'n': jnp.int32(3)}, {'x': jnp.float32(1)})
  new = member._update_average(
    toy.method(ema=0.5),
    old,
    (),
    {'n': jnp.int32(8)},
    {'x': jnp.float32(3)},
    jnp.int32(100),
  )
  assert (int(new.params['n']), float(new.model_state['x'])) == (8, 2)


@pytest.mark.slow
def test_average_is_validated_kept_and_predicted_with():
  state, logs, _ = reference('ema')
  t = trainer('ema')
  placed = t.place(jax.tree.map(np.asarray, state))
  outputs = t.predict(*member.weights(placed), t.val)
  for m in range(3):
    one = {k: v[m] for k, v in outputs.items()}
    scores = t.method.score(one, t.val_targets)
    np.testing.assert_allclose(scores['total'], logs['val/total'][m, -1], 1e-4)
  last = np.flatnonzero(np.asarray(state.best.epoch) == EPOCHS - 1)
  assert len(last)  # or the next line shows nothing
  for kept, average in zip(state.best[2:], member.weights(state)):
    kept, average = (x.vectors['float32'][last] for x in (kept, average))
    np.testing.assert_array_equal(kept, average)
  toy_params = state.params.vectors['float32']
  assert np.abs(toy_params - state.best.params.vectors['float32']).max() > 1e-4


def test_without_an_average_the_state_is_that_of_before():
  state = member.init(toy.method(), jax.random.key(0))
  assert not isinstance(state.opt_state, member.Averaged)
  assert member.weights(state) == (state.params, state.model_state)


def ones():
  """An optimiser whose every update is 1."""
  return optax.stateless(lambda u, _: jax.tree.map(jnp.ones_like, u))


@pytest.mark.slow
def test_rate_of_every_step_follows_the_schedule():
  method = toy.method(**scheduled(optimisation.schedule('cosine', 3, 1)))
  states = steps(dataclasses.replace(method, optimizer=ones()), 21, 7)
  weight = [state.params.vectors['float32'][0] for state in states]
  expected = optax.warmup_cosine_decay_schedule(0, 0.01, 7, 21)
  np.testing.assert_allclose(
    -np.diff(weight), [expected(k) for k in range(21)], atol=1e-7
  )


@pytest.mark.parametrize('steps', [1, 3, 7, 380, 4177])
def test_the_clock_is_exact_at_the_epochs(steps):
  method = toy.method(**scheduled(cosine()))
  state = member.init(method, jax.random.key(0))

  @jax.jit
  def clock(epoch):
    now = state._replace(epoch=epoch, step=epoch * steps)
    return member._epochs_behind(method, now, {'epoch_steps': jnp.int32(steps)})

  epochs = jnp.arange(60)
  np.testing.assert_array_equal(jax.vmap(clock)(epochs), epochs)


@pytest.mark.slow
def test_the_epoch_of_the_lowest_nll_is_kept():
  state, logs, _ = reference('nll')
  nll = logs['val/nll']
  np.testing.assert_array_equal(state.best.epoch, nll.argmin(1))
  np.testing.assert_allclose(state.best.score, -nll.min(1), rtol=1e-6)
  assert 'val/nll' not in reference('ema')[1]


@pytest.mark.slow
def test_mixed_batches_have_the_loss_of_the_mixture():
  params, state = toy.method().init(jax.random.key(0))
  clips, generation = toy.train_clips(), toy.generation(1)
  index = np.array([0, 1, 10, 11, 20, 21])
  batch = member.Rows({'image': clips.image}, generation.targets).take(index)
  hparams = {k: v[0] for k, v in generation.hparams.items()}
  hparams['task_weight'] = np.ones(3, np.float32)
  key = jax.random.key(4)

  def plain(key, images, first=0):
    return methods.to_float(images)

  method = toy.method(augment=plain, mixup=0.4)
  found, _ = jax.jit(method.objective)(params, state, batch, key, hparams)
  mix = losses.draw_mix(
    jax.random.fold_in(key, methods.MIX_STREAM), 0.4, len(index)
  )
  w, partner = float(mix.weight), np.asarray(mix.partner)
  image = methods.to_float(batch['inputs']['image'])
  mixed = {
    'inputs': {'image': w * image + (1 - w) * image[partner]},
    'targets': losses.mix_targets(mix, toy.SCHEMA, batch['targets']),
  }

  def floats(key, images, first=0):
    return images

  by_hand = toy.method(augment=floats).objective
  expected, _ = jax.jit(by_hand)(params, state, mixed, key, hparams)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
