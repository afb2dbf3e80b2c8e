"""What all networks ask of their images."""

import jax
import numpy as np
import pytest

from emojax import models, tasks
from emojax.models import layers


@pytest.mark.parametrize(
  'shape', [(2, 8, 8, 3), (2, 1, 8, 9, 3), (2, 1, 8, 8, 1), (2, 1, 9, 9, 3)]
)
def test_images_of_another_shape_are_refused(shape):
  good = np.zeros((2, 1, 8, 8, 3))
  assert layers.checked_images(good, 8, 3) is good
  with pytest.raises(ValueError, match=r'expected \[B, L, 8, 8, 3\]; resize'):
    layers.checked_images(np.zeros(shape), 8, 3)


@pytest.mark.parametrize(
  ('name', 'remedy'),
  [
    ('emenet_v', 'another image_size'),
    ('multitask_cnn', 'another image_size'),
    ('alexnet', 'another image_size or number of channels'),
  ],
)
def test_every_network_says_how_to_go_on(name, remedy):
  model = models.build(name, (tasks.expr_task(),), 64, width=0.25)
  image = jax.ShapeDtypeStruct((1, 1, 32, 32, 3), np.float32)
  variables = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
  with pytest.raises(ValueError, match=rf'\[B, L, 64, 64, 3\].*{remedy}(\n|$)'):
    jax.eval_shape(
      lambda v, x: model.apply(v, {'image': x}, train=False), variables, image
    )
