"""Converting weights: every misfit is named at once."""

import builtins

import jax
import numpy as np
import pytest

from emojax import models, tasks
from emojax.models import convert


@pytest.fixture(scope='module')
def variables():
  model = models.build('emenet_va', tasks.ABAW2021, 48, width=0.25)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
  return jax.tree.map(lambda s: np.ones(s.shape, np.float32), shapes)


def test_names_are_those_of_the_published_weights(variables):
  names = convert.to_torch(variables)
  for name, shape in {
    'video_backbone.conv1.conv.weight': (16, 3, 3, 3),
    'video_backbone.conv_23.conv.conv.weight': (32, 16, 1, 1),
    'video_backbone.conv_3.model.0.conv_dw.conv.weight': (32, 1, 3, 3),
    'video_backbone.conv_45.project.bn.running_var': (32,),
    'video_backbone.output_layer.conv_6_dw.conv.weight': (128, 1, 3, 3),
    'audio_backbone.encoder.encoder.1.mconv.6.conv.weight': (16, 16, 1),
    'audio_backbone.encoder.encoder.1.res.0.1.running_mean': (16,),
    'audio_backbone.encoder.encoder.5.mconv.1.bias': (32,),
    'tmodels.1.rnn.weight_ih_l0': (384, 160),
    'tmodels.1.decoder.weight': (12, 128),
  }.items():
    assert names[name].shape == shape


def test_misfits_are_listed_together(variables):
  state = convert.to_torch(variables)
  del state['tmodels.0.decoder.bias']
  state['tmodels.3.decoder.bias'] = np.ones(2)
  state['video_backbone.conv1.bn.weight'] = np.ones(5)
  with pytest.raises(ValueError, match='do not fit the model') as error:
    convert.from_torch(state, variables)
  message = str(error.value)
  assert 'missing: tmodels.0.decoder.bias' in message
  assert 'unexpected: tmodels.3.decoder.bias' in message
  assert 'conv1.bn.weight: shape (5,), expected (16,)' in message


def test_order_of_the_heads(variables):
  with pytest.raises(ValueError, match='does not name the heads'):
    convert.to_torch(variables, ('au', 'va'))
  state = convert.to_torch(variables, ('va', 'au', 'expr'))
  assert state['tmodels.0.decoder.bias'].shape == (40,)


def test_checkpoints_need_torch(monkeypatch, tmp_path):
  real = builtins.__import__

  def without_torch(name, *args, **kwargs):
    if name == 'torch':
      raise ImportError(name)
    return real(name, *args, **kwargs)

  monkeypatch.setattr(builtins, '__import__', without_torch)
  with pytest.raises(ImportError, match=r'pip install emojax\[parity\]'):
    convert.read_state_dict(tmp_path / 'weights.pth')
