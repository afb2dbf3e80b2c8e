"""Converting weights: every misfit is named at once."""

import builtins
import pickle

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


# Files of strangers.


@pytest.fixture
def torch():
  return pytest.importorskip('torch', reason='pip install emojax[parity]')


class Payload:
  """Runs code where pickles are trusted."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return open, (str(self.path), 'w')


def test_pickles_run_no_code(torch, tmp_path):
  torch.save({'x': Payload(tmp_path / 'made')}, tmp_path / 'a.pth')
  (tmp_path / 'b.pth').write_bytes(pickle.dumps(Payload(tmp_path / 'made')))
  for name in ('a.pth', 'b.pth'):
    with pytest.raises(ValueError, match=rf'{name} is no PyTorch checkpoint'):
      convert.read_state_dict(tmp_path / name)
  assert not (tmp_path / 'made').exists()


@pytest.mark.parametrize('data', [b'', b'PK\x03\x04', b'\x80\x02.', b'x' * 99])
def test_files_that_are_no_checkpoints(torch, tmp_path, data):
  path = tmp_path / 'weights.pth'
  path.write_bytes(data)
  with pytest.raises(ValueError, match=r'weights\.pth is no PyTorch') as error:
    convert.read_state_dict(path)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('version', ['1.13.1', '2.5.1+cu121', '2.0.0a0'])
def test_versions_that_run_code_of_files(torch, tmp_path, monkeypatch, version):
  torch.save({'x': torch.ones(1)}, tmp_path / 'a.pth')
  monkeypatch.setattr(torch, '__version__', version)
  with pytest.raises(ImportError, match=r'needs PyTorch >= 2\.6'):
    convert.read_state_dict(tmp_path / 'a.pth')


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_numbers_that_are_not_finite(torch, tmp_path, bad):
  torch.save({'a.bias': torch.tensor([1.0, bad])}, tmp_path / 'a.pth')
  with pytest.raises(ValueError, match=r'a\.bias holds numbers that are not'):
    convert.read_state_dict(tmp_path / 'a.pth')


def test_kinds_of_tensors(torch, tmp_path):
  """Parameters, bfloat16 and integers become arrays; others are named."""
  path, ones = tmp_path / 'a.pth', torch.ones(2)
  state = {'a': torch.nn.Parameter(ones), 'b': ones.bfloat16(), 'n': ones.int()}
  torch.save(state, path)
  found = convert.read_state_dict(path)
  kinds = {name: array.dtype.name for name, array in found.items()}
  assert kinds == {'a': 'float32', 'b': 'float32', 'n': 'int32'}
  assert all((array == 1).all() for array in found.values())
  for wrong in ({'a': ones.to_sparse()}, {3: ones}, {'a': 1.0}, [ones]):
    torch.save(wrong, path)
    with pytest.raises(ValueError, match=r'a\.pth'):
      convert.read_state_dict(path)


def test_a_loader_gives_fresh_members_what_a_file_has(monkeypatch):
  monkeypatch.setattr(convert, 'read_state_dict', lambda path: {'from': path})

  def place(state, variables):
    return {key: {**v, **state} for key, v in variables.items()}

  params, rest = convert.loader('a.pth', place)({'a': 1}, {'batch_stats': {}})
  assert params == {'a': 1, 'from': 'a.pth'}
  assert rest == {'batch_stats': {'from': 'a.pth'}}
  assert convert.loader('', place) is None
