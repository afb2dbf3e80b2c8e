"""Four CPU devices for every test, and a compiler that does not try hard."""

import gc
import os

import pytest

# Tracing makes millions of objects that live on (see `compilation`).
gc.set_threshold(100_000, 10, 10)
# Before JAX is imported anywhere.
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '')
  + ' --xla_force_host_platform_device_count=4'
  # Tests compile much and compute little; this halves their time.
  + ' --xla_backend_optimization_level=0'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

# A process takes whole files, so that what their tests share is made once; these
# come first, as they would make the others wait at the end.
LONG = (
  'test_incomplete_labels',
  'test_jobs',
  'test_main',
  'test_distillation',
  'test_equalities',
  'test_torch_parity',
  'test_prepare',
  'test_prepared_runs',
  'test_rul_experiment',
  'test_bnn_experiment',
  'test_study',
)


def pytest_collection_modifyitems(items):
  """Puts the files that take longest first."""

  def place(item):
    name = item.path.stem
    return LONG.index(name) if name in LONG else len(LONG)

  items.sort(key=place)


@pytest.fixture(autouse=True, scope='module')
def collected():
  """Programs and data of a module's tests do not wait for the next ones'."""
  yield
  gc.collect()
