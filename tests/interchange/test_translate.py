"""Graphs that ONNX Runtime runs against JAX, rule by rule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

pytest.importorskip('onnx', reason="needs the extra 'onnx'")
onnxruntime = pytest.importorskip(
  'onnxruntime', reason="needs the extra 'onnx'"
)

from emojax.interchange import folding, graph, translate  # noqa: E402
from emojax.ops import norm  # noqa: E402
from emojax.uncertainty import conformal_traced  # noqa: E402

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 3, 4, 8)).astype(np.float32)
SMALL = RNG.normal(size=(4,)).astype(np.float32)
INDEX = np.array([2, 0, 2])


def translated(function, shape, dtype=np.float32):
  """The model of a function of x [batch, *shape]."""
  (batch,) = jax.export.symbolic_shape('batch')
  spec = jax.ShapeDtypeStruct((batch, *shape), dtype)
  return translate.model(lambda x: {'y': function(x)}, {'x': spec}, (batch,))


def operators(model):
  """Names of the operators of a graph and of its loops."""
  return [
    node.op_type
    for one in _graphs(model.graph)
    for node in one.node
    if node.op_type not in ('Identity', 'Cast')
  ]


def _graphs(one):
  yield one
  for node in one.node:
    for attribute in node.attribute:
      if attribute.HasField('g'):
        yield from _graphs(attribute.g)


def run(model, x):
  session = onnxruntime.InferenceSession(model.SerializeToString())
  return session.run(['y'], {'x': x})[0]


def conv(x, kernel=KERNEL, strides=1, padding=1, dilation=1, groups=1):
  return lax.conv_general_dilated(
    x,
    kernel,
    (strides,) * 2,
    [(padding,) * 2] * 2,
    rhs_dilation=(dilation,) * 2,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    feature_group_count=groups,
  )


def gated(x, reverse=False):
  """A loop over the axis 1 of [batch, L, F], with a constant of outside."""

  def step(state, row):
    state = jnp.tanh(state * SMALL + row)
    return state, state * 2

  last, all_ = lax.scan(
    step, jnp.zeros_like(x[:, 0]), x.swapaxes(0, 1), reverse=reverse
  )
  return all_.swapaxes(0, 1) + last[:, None]


def pooled(x):
  """The larger of each row and the one above it, of [batch, 6, 6, 8]."""
  padded = jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))
  return jnp.maximum(padded[:, :6], padded[:, 1:])


MAPS, ROWS = (6, 6, 4), (5, 4)
CASES = {
  'arithmetic': (lambda x: (x * 2 - SMALL) / (1 + x * x) + abs(-x), ROWS),
  'powers': (lambda x: x**3 + lax.rsqrt(x * x + 1) + jnp.sqrt(abs(x)), ROWS),
  'exponentials': (
    lambda x: jnp.log1p(jnp.exp(-abs(x))) + jnp.tanh(x) + jax.nn.sigmoid(x),
    ROWS,
  ),
  'rounding': (
    lambda x: jnp.round(x * 2) / 2 + jnp.floor(x) + jnp.sign(x) + jnp.ceil(x),
    ROWS,
  ),
  'comparisons': (
    lambda x: jnp.where((x > 0) & (x != 1) | (x < -1), x, SMALL) + (x >= 0.5),
    ROWS,
  ),
  'clip': (lambda x: jnp.clip(x, -0.5, 0.5) + jnp.minimum(x, 0), ROWS),
  'finite': (lambda x: jnp.where(jnp.isfinite(1 / (x - x[:, :1, :1])), 1, x), ROWS),
  'softmax': (lambda x: jax.nn.log_softmax(x) + jax.nn.softmax(x), ROWS),
  'logaddexp': (lambda x: jnp.logaddexp(x, SMALL), ROWS),
  'mean over the batch': (lambda x: x - x.mean(0) + x.shape[0], ROWS),
  'reductions': (
    lambda x: x.sum((1, 2)) + x.max(1).min(-1) + x.mean() - x.min(),
    ROWS,
  ),
  'argmax': (lambda x: x.argmax(-1).astype(np.float32), ROWS),
  'shapes': (
    lambda x: jnp.squeeze(x.reshape(-1, 2, 2)[:, None], 1).transpose(2, 0, 1),
    ROWS,
  ),
  'several symbols': (
    lambda x: x.reshape(-1, 4)[:, None].repeat(2, 1).reshape(-1, 5, 8),
    ROWS,
  ),
  'slices': (lambda x: x[:, 1:4:2] + jnp.flip(x[:, :2], -1), ROWS),
  'split': (lambda x: jnp.concatenate(jnp.split(x, 2, -1)[::-1], 1), ROWS),
  'stack': (lambda x: jnp.stack([x, 2 * x], 1).mean(0), ROWS),
  'padding': (lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 1))), ROWS),
  'gather': (lambda x: x[:, INDEX] + x[:, 1:2] * x[:, 3, 2][:, None, None], ROWS),
  'gather, broadcast': (lambda x: x[:, INDEX[:, None] + np.arange(2)], ROWS),
  'iota': (lambda x: x * jnp.arange(4) + jnp.eye(4)[2], ROWS),
  'broadcast': (
    lambda x: jnp.broadcast_to(x[:, :1], x.shape).reshape(x.shape[0], -1),
    ROWS,
  ),
  'output that was broadcast': (
    lambda x: jnp.broadcast_to(jnp.float32([3, 4]), (x.shape[0], 2)),
    ROWS,
  ),
  'product': (lambda x: x @ KERNEL[0, 0], ROWS),
  'einsum': (lambda x: jnp.einsum('bij,bkj->bik', x, x), ROWS),
  'convolution': (conv, MAPS),
  'strides': (lambda x: conv(x, strides=2, padding=0), MAPS),
  'dilation': (lambda x: conv(x, dilation=2, padding=2), MAPS),
  'depth-wise': (lambda x: conv(x, KERNEL[:, :, :1, :4], groups=4), MAPS),
  'one axis': (
    lambda x: lax.conv_general_dilated(
      x, KERNEL[0], (1,), [(1, 1)], dimension_numbers=('NHC', 'HIO', 'NHC')
    ),
    ROWS,
  ),
  'residual': (
    lambda x: jax.nn.relu(conv(x)) + conv(conv(x), np.tile(KERNEL, (1, 1, 2, 1))),
    MAPS,
  ),
  'pooling of maps': (lambda x: pooled(conv(x)), MAPS),
  'loop': (gated, ROWS),
  'loop, backwards': (lambda x: gated(x, True), ROWS),
  'loop with nothing but an end': (
    lambda x: lax.scan(lambda s, r: (s * 0.5 + r, None), x[:, 0], x.swapaxes(0, 1))[0],
    ROWS,
  ),
  'sets of bins': (
    lambda x: conformal_traced.grown(jax.nn.softmax(x)),
    ROWS,
  ),
  'loop of one step': (lambda x: gated(x[:, :1]), ROWS),
  'maps of a loop': (
    lambda x: lax.map(conv, jnp.stack([x, x[:, ::-1]])).mean(0),
    MAPS,
  ),
}  # fmt: skip


@pytest.mark.parametrize('name', CASES)
def test_the_runtime_gives_what_jax_gives(name):
  function, shape = CASES[name]
  model = translated(function, shape)
  for batch in (1, 3):
    x = RNG.normal(size=(batch, *shape)).astype(np.float32)
    expected = np.asarray(function(jnp.asarray(x)))
    found = run(model, x)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


def test_images_of_whole_numbers():
  model = translated(lambda x: (x[:, ::-1] / 255).mean((1, 2)), MAPS, np.uint8)
  x = RNG.integers(0, 256, (2, *MAPS), np.uint8)
  np.testing.assert_allclose(run(model, x), (x / 255).mean((1, 2)), rtol=1e-5)


def normalised(x, relu=False):
  """A convolution and a batch norm with statistics of its own."""
  rng = np.random.default_rng(1)
  mean, bias = rng.normal(size=(2, 8)).astype(np.float32)
  var, scale = rng.uniform(0.5, 2, (2, 8)).astype(np.float32)
  slope = jnp.full(8, 0.3) if relu else None
  return norm.normalise(conv(x), mean, var, scale, bias, slope)


@pytest.mark.parametrize('relu', [False, True])
def test_batch_norms_go_into_kernels(relu):
  model = translated(lambda x: normalised(x, relu), MAPS)
  found = sorted(operators(model))
  expected = ['Conv', *(['PRelu'] if relu else []), 'Transpose', 'Transpose']
  assert found == expected
  x = RNG.normal(size=(2, *MAPS)).astype(np.float32)
  np.testing.assert_allclose(run(model, x), normalised(x, relu), atol=2e-5)


def test_a_convolution_that_is_read_twice_keeps_its_own_result():
  def both(x):
    y = conv(x)
    return y * 2 + 1 + jnp.tanh(y)

  model = translated(both, MAPS)
  x = RNG.normal(size=(2, *MAPS)).astype(np.float32)
  np.testing.assert_allclose(run(model, x), both(x), atol=2e-5)


def test_chains_without_a_convolution_become_a_product_and_a_sum():
  def chain(x):
    return jnp.tanh(((x - SMALL) * 3 + SMALL) * 2)

  model = translated(chain, ROWS)
  assert operators(model) == ['Mul', 'Add', 'Tanh']
  x = RNG.normal(size=(2, *ROWS)).astype(np.float32)
  np.testing.assert_allclose(run(model, x), chain(x), atol=2e-5)


def test_what_float16_holds_exactly_is_kept_in_it():
  halves = KERNEL.astype(np.float16).astype(np.float32)
  sizes, models = [], []
  for kernel in (KERNEL, halves):
    models.append(translated(lambda x, k=kernel: conv(x, k) * SMALL[0], MAPS))
    sizes.append(models[-1].ByteSize())
  assert sizes[1] < 0.75 * sizes[0]  # with names and operators
  x = RNG.normal(size=(2, *MAPS)).astype(np.float32)
  expected = conv(x, halves) * SMALL[0]
  np.testing.assert_allclose(run(models[1], x), expected, atol=2e-5)


def test_equal_nodes_are_one():
  model = translated(lambda x: jnp.tanh(x) + jnp.tanh(x), ROWS)
  assert operators(model).count('Tanh') == 1


def test_a_primitive_without_a_rule_is_named():
  with pytest.raises(graph.TranslationError, match="primitive 'sort' has no"):
    translated(lambda x: jnp.sort(x, -1), ROWS)
  with pytest.raises(graph.TranslationError, match='complex64 have no rule'):
    translated(lambda x: x.astype(np.complex64).real, ROWS)


def test_operators_that_files_may_not_hold_are_not_written():
  with pytest.raises(graph.TranslationError, match='If is not in the vocab'):
    graph.Graph().add('If', 'x')


def test_names_that_bodies_read_are_seen():
  model = translated(gated, ROWS)
  (loop,) = (n for n in model.graph.node if n.op_type == 'Scan')
  constants = {tensor.name for tensor in model.graph.initializer}
  assert constants & set(folding.read(loop))
