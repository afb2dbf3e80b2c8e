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


@pytest.fixture(autouse=True, scope='module')
def collected():
  """Programs and data of a module's tests do not wait for the next ones'."""
  yield
  gc.collect()
