"""Predictions and stochastic passes of a stack, block by block."""

import types

import jax
import numpy as np
import pytest
import toy

from emojax.engine import member, sources

SAMPLES = 3


@pytest.fixture(scope='module', autouse=True)
def small_blocks():
  """Blocks of one chunk for each batch device: seven clips need padding."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sources, 'BLOCK_BYTES', 1)
    yield


CASES = {
  'alone': {'members': 2},
  'vectorised': {'members': 2, 'chunk': 2},
  # One member of padding; chunks are split over the batch devices.
  'devices': {'members': 3, 'member_devices': 2, 'batch_devices': 2},
}


@pytest.fixture(
  scope='module',
  params=[
    'devices',
    *(pytest.param(x, marks=pytest.mark.slow) for x in ('alone', 'vectorised')),
  ],
)
def stack(request):
  """A trainer and the weights of its members."""
  trainer = toy.trainer(**CASES[request.param])
  state = trainer.init(0)
  return trainer, (state.params, state.model_state)


@pytest.fixture(scope='module')
def found(stack):
  trainer, weights = stack
  return trainer.predict_and_sample(
    *weights, trainer.val, jax.random.key(5), SAMPLES
  )


def test_both_are_those_of_two_programs(stack, found):
  trainer, weights = stack
  outputs, samples = found
  toy.assert_close(outputs, trainer.predict(*weights, trainer.val), 1e-5)
  alone = trainer.sample(*weights, trainer.val, jax.random.key(5), SAMPLES)
  toy.assert_close(samples, alone, 1e-5)


def test_shapes(stack, found):
  members = stack[0].settings.members
  outputs, samples = found
  clips, frames = 7, toy.LENGTH
  for task in toy.SCHEMA:
    last = (clips, frames, task.num_outputs)
    assert outputs[task.name].shape == (members, *last)
    assert samples[task.name].shape == (members, SAMPLES, *last)


def test_every_pass_draws_its_own_masks(found):
  outputs, samples = found
  drawn = samples['expr']  # [M, S, N, ...]
  for a, b in (
    (drawn[0], drawn[1]),
    (drawn[:, 0], drawn[:, 1]),
    (drawn[:, 0], outputs['expr']),
  ):
    assert np.abs(a - b).max() > 1e-3


def test_every_block_draws_its_own_masks(stack):
  trainer, weights = stack
  inputs, _ = next(sources.blocks(trainer.val, trainer._multiple))
  block = inputs['image']
  twice = trainer.val.take(np.tile(np.arange(len(block)) % 4, 2))
  _, samples = trainer.predict_and_sample(
    *weights, twice, jax.random.key(5), SAMPLES
  )
  drawn = samples['expr']
  halves = np.split(drawn, 2, axis=2)
  assert np.abs(halves[0] - halves[1]).max() > 1e-3


def test_weights_from_the_host_are_those_of_the_state(stack):
  trainer, weights = stack
  host = dict(zip(('params', 'model_state'), map(trainer.fetch, weights)))
  again = trainer.predict(*trainer.place_weights(host), trainer.val)
  toy.assert_same(again, trainer.predict(*weights, trainer.val))


@pytest.mark.parametrize(
  ('stream_steps', 'samples', 'keep'), [(2, SAMPLES, False), (0, 0, True)]
)
def test_without_passes_nothing_else_is_compiled(stream_steps, samples, keep):
  trainer = toy.trainer(2, stream_steps=stream_steps)
  state = trainer.init(0)
  weights = state.params, state.model_state
  outputs, passes = trainer.predict_and_sample(
    *weights, trainer.val, jax.random.key(5), samples, keep
  )
  assert passes == ()
  assert '_predict_and_sample' not in vars(trainer)
  toy.assert_same(outputs, trainer.predict(*weights, trainer.val))


def test_what_is_not_wanted_is_not_kept(stack, found):
  trainer, weights = stack
  outputs, samples = trainer.predict_and_sample(
    *weights, trainer.val, jax.random.key(5), SAMPLES, keep=False
  )
  assert samples == ()
  toy.assert_same(outputs, found[0])


def test_keys_belong_to_pass_member_and_block(stack):
  """As written down here: other masks would be other published numbers."""
  trainer, weights = stack
  block = next(sources.blocks(trainer.val, trainer._multiple))
  keys = jax.random.split(jax.random.key(5), (trainer._size, SAMPLES))
  keys = jax.vmap(jax.vmap(lambda k: jax.random.fold_in(k, 0)))(keys)
  expected = trainer.fetch(
    trainer._sample(*weights, trainer.place(keys), *trainer.share(block))
  )
  found = trainer.sample(*weights, trainer.val, jax.random.key(5), SAMPLES)
  count = int(block[1])
  for name, array in expected.items():
    np.testing.assert_array_equal(
      found[name][:, :, :count], array[:, :, :count], err_msg=name
    )


@pytest.mark.parametrize('count', [0, 1, 4, 5, 12])
@pytest.mark.parametrize('shards', [1, 3])
def test_chunks_of_padding_are_left_out(count, shards):
  """A network is applied to as many chunks of four as have a clip that counts."""
  seen = []

  def network(x):
    jax.debug.callback(lambda y: seen.append(y.tolist()), x)
    return {'logits': x * 2 + 1}

  mesh = jax.make_mesh((shards,), ('batch',))
  method = types.SimpleNamespace(axis_name='batch' if shards > 1 else None)

  def program(x, count):
    return member.predict_rows(method, network, x, 4, count)

  spec = jax.sharding.PartitionSpec()
  mapped = jax.shard_map(
    program, mesh=mesh, in_specs=spec, out_specs=spec, check_vma=False
  )
  x = np.arange(12)
  found = np.asarray(jax.jit(mapped)(x, np.int32(count))['logits'])
  jax.effects_barrier()
  chunks = -(-count // 4)
  np.testing.assert_array_equal(found[: chunks * 4], (2 * x + 1)[: chunks * 4])
  np.testing.assert_array_equal(found[chunks * 4 :], 0)
  assert sorted(seen) == x.reshape(3, 4)[:chunks].tolist()
