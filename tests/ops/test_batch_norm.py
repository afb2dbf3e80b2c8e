"""BatchNorm with PReLU against plain automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax import ops

PARTITION = jax.sharding.PartitionSpec


def inputs(shape, offset=0.0):
  rng = np.random.default_rng(1)
  x = (rng.standard_normal(shape) + offset).astype(np.float32)
  channels = [
    rng.standard_normal(shape[-1]).astype(np.float32) for _ in range(3)
  ]
  return x, *channels


def plain(x, scale, bias, slope):
  axes = tuple(range(x.ndim - 1))
  mean, var = jnp.mean(x, axes), jnp.var(x, axes)
  z = (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias
  y = z if slope is None else jnp.where(z > 0, z, slope * z)
  return y, mean, var


def fused(lowering, axis_name=None):
  return lambda x, scale, bias, slope: ops.batch_norm(
    x, scale, bias, slope, 1e-5, axis_name, lowering
  )


def pull(function, args, weights):
  """Outputs, and gradients of the product of y with `weights`."""

  def loss(*args):
    outputs = function(*args)
    return jnp.sum(outputs[0] * weights), outputs

  wanted = tuple(i for i, a in enumerate(args) if a is not None)
  run = jax.jit(jax.grad(loss, wanted, has_aux=True))
  gradients, outputs = run(*args)
  return *outputs, *gradients


@pytest.mark.parametrize('lowering', ['lax', 'matmul'])
@pytest.mark.parametrize('prelu', [True, False])
@pytest.mark.parametrize('shape', [(4, 6, 6, 8), (11, 5), (3, 7, 4)])
def test_equals_plain_autodiff(lowering, prelu, shape):
  x, scale, bias, slope = inputs(shape)
  args = (x, scale, bias, slope if prelu else None)
  weights = np.random.default_rng(2).standard_normal(shape, np.float32)
  got = pull(fused(lowering), args, weights)
  want = pull(plain, args, weights)
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize('lowering', ['lax', 'matmul'])
def test_variance_survives_a_large_mean(lowering):
  x, scale, bias, slope = inputs((16, 4, 4, 8), offset=1000.0)
  _, mean, var = fused(lowering)(x, scale, bias, slope)
  wide = x.astype(np.float64)
  np.testing.assert_allclose(mean, wide.mean((0, 1, 2)), rtol=1e-6)
  np.testing.assert_allclose(var, wide.var((0, 1, 2)), rtol=1e-3)


def test_constant_channels_are_finite():
  x, scale, bias, slope = inputs((4, 3, 3, 8))
  got = pull(fused('matmul'), (np.ones_like(x), scale, bias, slope), x)
  assert all(np.isfinite(a).all() for a in got)


def test_normalise_with_given_statistics():
  x, scale, bias, slope = inputs((4, 3, 3, 8))
  y, mean, var = plain(x, scale, bias, slope)
  got = ops.normalise(x, mean, var, scale, bias, slope)
  np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)


def mesh_of_two():
  if jax.device_count() < 2:
    pytest.skip('needs two devices: --xla_force_host_platform_device_count=2')
  return jax.make_mesh(
    (2,), ('batch',), axis_types=(jax.sharding.AxisType.Auto,)
  )


@pytest.mark.parametrize('prelu', [True, False])
@pytest.mark.parametrize('check_vma', [True, False])
def test_shards_equal_the_whole_batch(prelu, check_vma):
  mesh, split, whole = mesh_of_two(), PARTITION('batch'), PARTITION()
  x, scale, bias, slope = inputs((8, 3, 3, 4), offset=2.0)
  weights = np.random.default_rng(3).standard_normal(x.shape, np.float32)
  args = (x, scale, bias, *([slope] if prelu else []))

  def gradients(x, weights, *channels):
    def loss(x, *channels):
      channels = channels if prelu else (*channels, None)
      y, *statistics = fused('matmul', 'batch')(x, *channels)
      return jnp.sum(y * weights), (y, *statistics)

    wanted = tuple(range(1 + len(channels)))
    if check_vma:
      # Otherwise the gradients of replicated parameters are summed already.
      channels = [jax.lax.pcast(c, 'batch', to='varying') for c in channels]
    (dx, *rest), outputs = jax.grad(loss, wanted, has_aux=True)(x, *channels)
    return *outputs, dx, *(jax.lax.psum(g, 'batch') for g in rest)

  sharded = jax.shard_map(
    gradients,
    mesh=mesh,
    in_specs=(split, split, *[whole] * (len(args) - 1)),
    out_specs=(split, whole, whole, split, *[whole] * (len(args) - 1)),
    check_vma=check_vma,
  )
  got = jax.jit(sharded)(x, weights, *args[1:])
  want = pull(fused('matmul'), args if prelu else (*args, None), weights)
  for a, b in zip(got, want, strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
