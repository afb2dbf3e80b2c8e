"""EMENet: sizes, outputs, errors."""

import jax
import numpy as np
import pytest

from emojax import models, tasks


@pytest.mark.parametrize(
  ('size', 'width'),
  [
    (48, 0.25),
    *(
      pytest.param(*given, marks=pytest.mark.slow)
      for given in [(32, 1.0), (64, 1.0), (112, 0.25)]
    ),
  ],
)
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


@pytest.mark.slow
def test_frames_without_memory_are_answered_one_by_one():
  """The same parameters; only then does a frame's answer stand alone."""
  key = jax.random.key(0)
  images = jax.random.uniform(key, (2, 4, 32, 32, 3))
  answers = {}
  for head in ('paper', 'frames'):
    model = models.build(
      'emenet_v', tasks.ABAW2021, 32, width=0.125, hidden=8, head=head
    )
    variables = models.init(model, key)

    def answer(x, model=model, variables=variables):
      return model.apply(variables, {'image': x}, train=False)['expr']

    answers[head] = answer(images), answer(images[:, 3:])
  alone = answers['frames']
  np.testing.assert_allclose(alone[0][:, 3:], alone[1], rtol=1e-5, atol=1e-6)
  assert np.abs(answers['paper'][0][:, 3:] - answers['paper'][1]).max() > 1e-3
  # The first frame has nothing to remember.
  first = [found[0][:, 0] for found in answers.values()]
  np.testing.assert_allclose(*first, rtol=1e-5, atol=1e-6)
