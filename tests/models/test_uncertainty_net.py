"""The networks of paper 003: sizes, branches against PyTorch, deployment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from emojax import models, tasks
from emojax.models.count import num_parameters
from emojax.models.uncertainty_net import Branch, UncertaintyNet

SCHEMA = (tasks.expr_task(),)
TINY = dict(image_size=16, stem='half', width=0.125, features=4)


def parameters(**options):
  model = UncertaintyNet(SCHEMA, **options)
  variables = jax.eval_shape(lambda: models.init(model, jax.random.key(0)))
  return model, variables


def test_sizes_are_those_of_the_published_network():
  _, variables = parameters(image_size=224)
  params = variables['params']
  assert num_parameters(params) == 14_388_615
  assert num_parameters(params['trunk']) == 11_176_512
  assert num_parameters(params['mu']) == 1_605_824
  _, plain = parameters(image_size=224, estimate='none')
  assert num_parameters(plain['params']) == 12_782_791


def test_branch_is_that_of_pytorch():
  torch = pytest.importorskip(
    'torch', reason='PyTorch parity: pip install emojax[parity]'
  )
  nn = torch.nn
  # Maps of one pixel: PyTorch flattens in another order.
  twin = nn.Sequential(
    nn.BatchNorm2d(6, eps=2e-5, affine=False),
    nn.Dropout(0.4),
    nn.Flatten(),
    nn.Linear(6, 3),
    nn.BatchNorm1d(3, eps=2e-5),
  )
  x = np.random.default_rng(0).normal(size=(9, 1, 1, 6)).astype(np.float32)
  state = {k: v.numpy().copy() for k, v in twin.state_dict().items()}
  params = {
    'linear': {'kernel': state['3.weight'].T, 'bias': state['3.bias']},
    'norm_out': {'scale': state['4.weight'], 'bias': state['4.bias']},
  }
  stats = {
    name: {'mean': state[f'{i}.running_mean'], 'var': state[f'{i}.running_var']}
    for i, name in ((0, 'norm'), (4, 'norm_out'))
  }
  variables = {'params': params, 'batch_stats': stats}
  twin[1].eval()  # its random masks cannot be the same
  ours, new = Branch(3, 0.4).apply(
    variables, x, True, False, mutable=['batch_stats']
  )
  theirs = twin(torch.from_numpy(x).permute(0, 3, 1, 2)).detach().numpy()
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
    new['batch_stats']['norm_out']['var'], twin[4].running_var, rtol=1e-5
  )
  twin.eval()
  ours = Branch(3, 0.4).apply({'params': params, **new}, x, False, False)
  theirs = twin(torch.from_numpy(x).permute(0, 3, 1, 2)).detach().numpy()
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_features_are_classified_as_the_image_is():
  model = UncertaintyNet(SCHEMA, **TINY)
  variables = models.init(model, jax.random.key(0))
  image = jax.random.uniform(jax.random.key(1), (2, 1, 16, 16, 1))
  whole = jax.jit(lambda v: model.apply(v, {'image': image}, False))(variables)
  assert whole['log_sigma'].shape == (2, 1, 4)
  assert whole['expr'].shape == (2, 1, 7)
  again = model.apply(variables, whole['features'], method='classify')
  np.testing.assert_allclose(again, whole['expr'], rtol=1e-5)


@pytest.mark.parametrize('estimate', ['attention', 'confidence', 'none'])
def test_other_estimates(estimate):
  model, variables = parameters(**TINY, embedding='pooled', estimate=estimate)
  image = jnp.zeros((2, 3, 16, 16, 3))
  outputs = jax.eval_shape(
    lambda v: model.apply(v, {'image': image}, False), variables
  )
  assert outputs['features'].shape == (2, 3, 64)
  assert (estimate in outputs) == (estimate != 'none')
  if estimate != 'none':
    assert outputs[estimate].shape == (2, 3)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'embedding': 'mean'}, "embedding 'mean': expected one of branch, pooled"),
    ({'estimate': 'sigma'}, "estimate 'sigma': expected one of none, log_si"),
    ({'normalise': 'x'}, "normalise 'x': expected one of none, imagenet"),
    ({'schema': (tasks.va_task(),)}, "task 'va' is binned, not categorical"),
  ],
)
def test_unknown_choices_are_refused(options, message):
  model = UncertaintyNet(**{'schema': SCHEMA, **TINY, **options})
  with pytest.raises(ValueError, match=message):
    jax.eval_shape(lambda: models.init(model, jax.random.key(0)))


def test_other_sizes_are_refused():
  model, variables = parameters(**TINY)
  with pytest.raises(ValueError, match=r'expected \[B, L, 16, 16, C\]'):
    jax.eval_shape(
      lambda v: model.apply(v, {'image': jnp.zeros((1, 1, 8, 8, 3))}, False),
      variables,
    )
