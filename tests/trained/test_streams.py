"""All members by streams: the same numbers, whatever is split."""

import functools
import threading

import flax.linen as nn
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emojax
from emojax.models import folding
from emojax.models.layers import ConvNorm, Dropout, Linear
from emojax.trained import members
from tests.models import made

M = 3


def one(network, params, state, inputs, key, number):
  """What a member says; `number` of a pass is added, to be seen."""
  noise = {} if key is None else {'dropout': True, 'rngs': {'dropout': key}}
  found = network.apply(
    {'params': params, **state}, inputs, train=False, **noise
  )
  found = {task.name: found[task.name] for task in network.schema}
  return found if number is None else jax.tree.map(lambda x: x + number, found)


class Small(nn.Module):
  """A layer that is folded, one with dropout, and a memory of earlier frames."""

  image_size, channels, audio = 8, 3, False
  schema = made.EXPRESSIONS

  @nn.compact
  def __call__(self, inputs, train, dropout=False):
    image = inputs['image']
    x = image.reshape(-1, *image.shape[2:])
    x = ConvNorm(4, (3, 3), padding=1, prelu=True, name='layer')(x, train)
    x = x.mean((1, 2)).reshape(*image.shape[:2], -1).cumsum(1)
    x = Dropout(0.5)(x, bool(dropout))
    return {'expr': Linear(7)(x)}


@functools.cache
def stack():
  network = Small()
  each = [made.variables(network, seed) for seed in range(M)]
  stacked = jax.tree.map(lambda *x: np.stack(x), *each)
  return network, stacked.pop('params'), stacked


@functools.cache
def run(streams):
  return members.Members(one, *stack(), streams=streams)


def expected(inputs):
  """Every member by itself, in one piece, with its norms."""
  network, params, state = stack()
  says = jax.jit(lambda p, s: one(network, p, s, inputs, None, None))
  said = [
    says(*jax.tree.map(lambda x, m=m: x[m], (params, state))) for m in range(M)
  ]
  return jax.tree.map(lambda *x: np.stack(x), *said)


def check_equal(found, expected):
  assert found.keys() == expected.keys()
  for name, logits in expected.items():
    assert found[name].shape == logits.shape
    for probs in (jax.nn.sigmoid, jax.nn.softmax):
      np.testing.assert_allclose(
        probs(found[name]), probs(logits), rtol=0, atol=1e-5
      )


@pytest.mark.parametrize('clips', [1, 2, 5, 7])
@pytest.mark.parametrize('streams', [1, 2, 4])
def test_streams_say_what_members_say_alone(clips, streams):
  inputs = made.inputs(stack()[0], clips, 2)
  check_equal(run(streams)(inputs), expected(inputs))


@pytest.mark.slow
@pytest.mark.parametrize('clips', [1, 7, 17])
def test_the_model_of_this_package_says_what_its_members_say(clips):
  model = emojax.load('ferplus')
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (clips, 1, 48, 48, 3), np.uint8)
  inputs, says = model.inputs(image), jax.jit(model.one)
  each = [says(*model.member(m), inputs) for m in range(model.num_members)]
  found = model.logits(image)
  check_equal(found, jax.tree.map(lambda *x: np.stack(x), *each))
  alone = model.logits(image[:1])
  check_equal(alone, {name: x[:, :1] for name, x in found.items()})


@pytest.mark.parametrize('streams', [1, 2])
def test_passes_are_those_of_their_keys(streams):
  inputs = made.inputs(stack()[0], 2, 2)
  keys = jax.random.split(jax.random.key(0), (M, 4))
  found = run(streams)(inputs, keys)
  network, params, state = stack()
  draw = jax.jit(functools.partial(one, network))
  for m in range(M):
    for s in range(4):
      weights = jax.tree.map(lambda x, m=m: x[m], (params, state))
      alone = draw(*weights, inputs, keys[m, s], s)
      there = {name: x[4 * m + s] for name, x in found.items()}
      check_equal(there, alone)


def test_streams_work_at_the_same_time():
  meet, where = threading.Barrier(2), set()

  def job(number):
    meet.wait(60)  # nobody comes on, if jobs are done one after the other
    where.add(threading.get_ident())
    return number

  assert run(2)._all(job, range(4)) == [0, 1, 2, 3]
  assert len(where) == 2


def test_a_program_of_a_stream_has_one_thread(monkeypatch):
  """And several where there are fewer jobs than cores."""
  asked = []

  def jit(function, compiler_options=None):
    asked.append(compiler_options)
    return real(function, compiler_options=compiler_options)

  real = jax.jit
  made_new = members.Members(one, *stack(), streams=2)
  monkeypatch.setattr(members.jax, 'jit', jit)
  inputs = made.inputs(stack()[0], 1, 1)
  made_new(inputs)
  made_new(inputs)
  assert asked == [members.ALONE]  # compiled once
  made_new = members.Members(one, *stack(), streams=M + 1)
  made_new(inputs)
  assert asked[1:] == [None]


@pytest.mark.parametrize(('backend', 'frames'), [('cpu', 1), ('gpu', 0)])
def test_networks_see_blocks_that_fit_the_caches(monkeypatch, backend, frames):
  """And all frames at once on accelerators."""
  network = made.network('emenet_v')
  weights = jax.tree.map(lambda x: x[None], made.variables(network))
  monkeypatch.setattr(members.caches, 'per_core', lambda: 1)
  monkeypatch.setattr(members.jax, 'default_backend', lambda: backend)
  params = weights.pop('params')
  assert members.Members(one, network, params, weights)._network.block == frames


def test_accelerators_have_no_streams(monkeypatch):
  inputs = made.inputs(stack()[0], 2, 2)
  monkeypatch.setattr(members.jax, 'default_backend', lambda: 'gpu')
  found = members.Members(one, *stack(), streams=4)
  names = set()

  def watched(job):
    names.add(threading.current_thread().name)
    return job

  assert found._all(watched, [1, 2]) == [1, 2]
  assert names == {threading.current_thread().name}
  check_equal(found(inputs), expected(inputs))


@given(
  clips=st.integers(1, 40),
  number=st.integers(1, 12),
  streams=st.integers(1, 64),
)
def test_parts_leave_streams_the_least_to_do(clips, number, streams):
  parts = members.parts_of(clips, number, streams)
  assert 1 <= parts <= min(clips, streams)

  def rounds(parts):
    return -(-number * parts // streams) * -(-clips // parts)

  assert rounds(parts) <= rounds(1)


@pytest.mark.parametrize(
  ('clips', 'number', 'streams', 'parts'),
  [(1, 5, 2, 1), (16, 5, 2, 2), (16, 1, 2, 2), (16, 4, 2, 1), (3, 1, 8, 3)],
)
def test_parts_of_some_ensembles(clips, number, streams, parts):
  assert members.parts_of(clips, number, streams) == parts


def test_a_block_of_the_largest_layer_is_no_larger_than_the_cache():
  layers = [folding.Layer((), 0.0, True, n) for n in (1000, 300)]
  assert folding.block(layers, 3999) == 3
