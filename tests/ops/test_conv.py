"""Convolutions: all lowerings are one function with one gradient."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax import ops


def arrays(*shapes):
  rng = np.random.default_rng(0)
  return [rng.standard_normal(s).astype(np.float32) for s in shapes]


def outputs_and_gradients(x, kernel, lowering, **settings_):
  """Output, and gradients of its product with a fixed array."""

  def conv(x, kernel):
    return ops.conv(x, kernel, lowering=lowering, **settings_)

  (weights,) = arrays(jax.eval_shape(conv, x, kernel).shape)
  y, pullback = jax.vjp(conv, x, kernel)
  return y, *pullback(jnp.asarray(weights, y.dtype))


def assert_lowerings_agree(x, kernel, **settings_):
  """Compares them with a convolution and gradients of XLA."""

  @jax.jit
  def run(x, kernel):
    return [
      outputs_and_gradients(x, kernel, lowering, **settings_)
      for lowering in ('conv', 'lax', 'matmul')
    ]

  want, *found = run(x, kernel)
  for got in found:
    for a, b in zip(got, want):
      assert a.dtype == b.dtype
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


# height, width, kernel, stride, padding, dilation, depth-wise
CASES = [
  (7, 9, (3, 3), 2, (1, 1), 1, True),
  (6, 8, (3, 2), 3, (2, 0), 1, True),
  (9, 6, (2, 3), 2, (1, 2), 2, True),
  (5, 5, (1, 1), 2, (0, 0), 1, True),
  (7, 9, (3, 3), 2, (1, 1), 1, False),
  (6, 7, (2, 3), 1, (0, 2), 2, False),
  (5, 6, (1, 1), 2, (0, 0), 1, False),
  (5, 6, (1, 1), 2, (1, 1), 1, False),
]


def check_in_two_dimensions(
  height, width, size, stride, padding, dilation, depthwise
):
  x, kernel = arrays((2, height, width, 4), (*size, 1 if depthwise else 4, 4))
  assert_lowerings_agree(
    x,
    kernel,
    strides=stride,
    padding=padding,
    dilation=dilation,
    groups=4 if depthwise else 1,
  )


@pytest.mark.parametrize('case', CASES)
def test_lowerings_agree_in_two_dimensions(case):
  check_in_two_dimensions(*case)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
  height=st.integers(5, 9),
  width=st.integers(5, 17),
  size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
  stride=st.integers(1, 3),
  padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
  dilation=st.integers(1, 2),
  depthwise=st.booleans(),
)
def test_lowerings_agree_whatever_the_settings(**case):
  check_in_two_dimensions(**case)


# Every kind of layer of MobileFaceNet, at even and odd sizes.
@pytest.mark.parametrize('size', [24, 12, 7, 3])
@pytest.mark.parametrize('stride', [1, 2])
def test_depthwise_layers_of_the_trunk(size, stride):
  x, kernel = arrays((2, size, size, 16), (3, 3, 1, 16))
  assert_lowerings_agree(x, kernel, strides=stride, padding=1, groups=16)


def test_global_depthwise_layer():
  x, kernel = arrays((3, 4, 4, 8), (4, 4, 1, 8))
  assert_lowerings_agree(x, kernel, groups=8)


@pytest.mark.parametrize(('kernel', 'dilation'), [(11, 1), (13, 1), (29, 2)])
def test_depthwise_layers_over_time(kernel, dilation):
  x, weights = arrays((2, 64, 8), (kernel, 1, 8))
  padding = dilation * (kernel - 1) // 2
  assert_lowerings_agree(
    x, weights, padding=padding, dilation=dilation, groups=8
  )


def test_dense_layers_over_time():
  x, narrow, wide = arrays((2, 20, 6), (1, 6, 4), (5, 6, 4))
  assert_lowerings_agree(x, narrow)
  assert_lowerings_agree(x, wide, strides=2, padding=1)


def test_agrees_with_a_plain_loop():
  x, kernel = arrays((1, 5, 6, 3), (3, 2, 3, 4))
  want = np.zeros((1, 3, 5, 4), np.float32)
  for i, j in np.ndindex(3, 5):
    window = x[0, i : i + 3, j : j + 2]
    want[0, i, j] = np.einsum('hwi,hwio->o', window, kernel)
  for lowering in ('lax', 'matmul', 'conv'):
    got = ops.conv(x, kernel, lowering=lowering)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_members_in_a_loop_equal_members_alone():
  x, kernels = arrays((3, 2, 8, 8, 4), (3, 3, 3, 1, 4))

  @jax.jit
  def gradient(x, kernel):
    return outputs_and_gradients(
      x, kernel, 'matmul', strides=2, padding=1, groups=4
    )

  stacked = jax.jit(jax.vmap(gradient))(x, kernels)
  for member in range(3):
    alone = gradient(x[member], kernels[member])
    for a, b in zip(stacked, alone):
      np.testing.assert_allclose(a[member], b, rtol=1e-4, atol=1e-5)


def of_a_stack_on_a_gpu(lowering, size, groups, **settings_):
  """Names and groups of what a stack of three multiplies with, as text."""
  x, kernel = arrays((3, 2, 8, 8, 4), (3, size, size, 4 // groups, 4))
  found = functools.partial(
    outputs_and_gradients, lowering=lowering, groups=groups, **settings_
  )
  traced = jax.jit(jax.vmap(found)).trace(x, kernel)
  text = traced.lower(lowering_platforms=('cuda',)).as_text()
  assert 'stablehlo.dot_general' in text or 'stablehlo.convolution' in text
  return set(re.findall(r'(dot_general|\w+_group_count = \d+)', text))


def test_what_accelerators_run_for_a_stack():
  """Whatever the stack: no groups of whole members, but by the plain form."""
  for strides in (1, 2):
    pointwise = of_a_stack_on_a_gpu('lax', 1, 1, strides=strides)
    assert pointwise == {'dot_general'}
  depthwise = of_a_stack_on_a_gpu('lax', 3, 4, padding=1)
  assert 'feature_group_count = 12' in depthwise
  assert {x for x in depthwise if 'batch' in x} == {'batch_group_count = 1'}
  plain = of_a_stack_on_a_gpu('conv', 1, 1)
  assert 'feature_group_count = 3' in plain
  assert 'batch_group_count = 4' in of_a_stack_on_a_gpu('conv', 3, 4)


def test_bfloat16_stays_bfloat16():
  x, kernel = arrays((2, 6, 6, 4), (3, 3, 1, 4))
  for lowering in ('lax', 'matmul'):
    found = functools.partial(
      outputs_and_gradients, lowering=lowering, padding=1, groups=4
    )
    types = jax.eval_shape(found, jnp.bfloat16(x), jnp.bfloat16(kernel))
    assert {t.dtype for t in types} == {jnp.dtype('bfloat16')}


def test_bad_arguments_are_named():
  x, kernel = arrays((1, 5, 5, 4), (3, 3, 4, 8))
  with pytest.raises(ValueError, match="lowering 'fast'"):
    ops.conv(x, kernel, lowering='fast')
  with pytest.raises(ValueError, match='groups must be 1'):
    ops.conv(x, kernel, groups=2)
  with pytest.raises(ValueError, match='does not fit a size of 5'):
    ops.conv(x, kernel, dilation=3)
  with pytest.raises(ValueError, match='expected an int or 2 of them'):
    ops.conv(x, kernel, strides=(1, 1, 1))
