"""The precision of products, read from programs for a GPU."""

import re

import jax
import jax.numpy as jnp
import pytest
import toy

from emojax import ops
from emojax.engine import programs
from emojax.engine.fingerprint import fingerprint
from emojax.engine.programs import PRECISIONS, at_precision

OF_PRODUCTS = re.compile(
  r'stablehlo\.(?:dot_general|convolution)\b.*?(DEFAULT|HIGHEST|HIGH)'
)


def for_a_gpu(jitted, *args) -> str:
  lowered = jitted.trace(*args).lower(lowering_platforms=('cuda',))
  return lowered.as_text()


@pytest.mark.slow
def test_all_that_a_generation_multiplies():
  """Training, validation, soft labels and their mean."""
  trainer = toy.trainer(2, precision='highest')
  found = OF_PRODUCTS.findall(trainer.lower(toy.generation(2)).as_text())
  assert len(found) > 9
  assert set(found) == {'HIGHEST'}


def test_every_program_with_a_network_is_told(monkeypatch):
  told = []
  monkeypatch.setattr(
    programs, '_program', lambda *_, precision, **__: told.append(precision)
  )
  trainer = toy.trainer(2, precision='high')
  for name in (
    'generation',
    'steps',
    'predict',
    'sample',
    'predict_and_sample',
  ):
    getattr(trainer, f'_{name}')
  assert told == ['high'] * 5


@pytest.mark.parametrize('lowering', ['lax', 'matmul'])
@pytest.mark.parametrize(('size', 'groups'), [(1, 1), (3, 1), (3, 4)])
def test_convolutions_and_their_gradients(lowering, size, groups):
  def loss(x, kernel):
    y = ops.conv(x, kernel, padding=size // 2, groups=groups, lowering=lowering)
    return jnp.sum(y * y)

  args = jnp.ones((2, 6, 6, 4)), jnp.ones((size, size, 4 // groups, 4))
  gradients = jax.jit(at_precision(jax.grad(loss, (0, 1)), 'high'))
  found = OF_PRODUCTS.findall(for_a_gpu(gradients, *args))
  assert set(found) == ({'HIGH'} if lowering == 'lax' or groups == 1 else set())


def test_every_precision_is_another_program():
  found = {fingerprint(at_precision(jnp.tanh, name)) for name in PRECISIONS}
  assert len(found) == len(PRECISIONS)
  with pytest.raises(ValueError, match="'tf32': expected one of default, high"):
    programs.at_precision(jnp.tanh, 'tf32')
