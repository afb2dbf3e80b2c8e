"""EMENet: sizes, outputs, errors."""

import jax
import numpy as np
import pytest

from emojax import models, tasks


@pytest.mark.parametrize('size', [32, 48, 64, 112])
@pytest.mark.parametrize('width', [0.25, 1.0])
def test_output_shapes(size, width):
  model = models.build('emenet_va', tasks.ABAW2021, size, width=width)

  def outputs():
    variables = models.init(model, jax.random.key(0))
    inputs = models.example_inputs(model, batch=2, frames=3)
    return model.apply(variables, inputs, train=False)

  shapes = {k: v.shape for k, v in jax.eval_shape(outputs).items()}
  assert shapes == {
    'features': (2, 3, int(640 * width)),
    'au': (2, 3, 12),
    'expr': (2, 3, 7),
    'va': (2, 3, 40),
  }


def test_unknown_names_suggest_the_nearest():
  with pytest.raises(ValueError, match="did you mean 'emenet_va'"):
    models.build('emnet_va', tasks.ABAW2021, 48)
  with pytest.raises(ValueError, match="did you mean 'published'"):
    models.build('emenet_v', tasks.ABAW2021, 48, head='publish')
  with pytest.raises(ValueError, match='expected one of auto, lax, matmul'):
    models.build('emenet_v', tasks.ABAW2021, 48, lowering='fast')


def test_wrong_inputs_are_named():
  model = models.build('emenet_va', tasks.ABAW2021, 48)
  key = jax.random.key(0)
  with pytest.raises(ValueError, match=r'expected \[B, L, 48, 48, 3\]'):
    model.init(key, {'image': np.zeros((1, 1, 32, 32, 3))}, train=False)
  with pytest.raises(ValueError, match="needs inputs\\['audio'\\]"):
    model.init(key, {'image': np.zeros((1, 1, 48, 48, 3))}, train=False)
