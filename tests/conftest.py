"""Four CPU devices for every test, and a compiler that does not try hard."""

import gc
import os
import shutil
import tempfile

import code_generator
import pytest

# Tracing makes millions of objects that live on (see `compilation`).
gc.set_threshold(100_000, 10, 10)
# Before JAX is imported anywhere.
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=4',
    *code_generator.FLAGS,
  ]
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# A worker per core: BLAS threads of several workers wait for each other, busily.
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

# What one test has compiled no other one compiles again, in any process of this
# session; with a bound, JAX locks the folder.
CACHE = 'JAX_COMPILATION_CACHE_DIR'
OWN_CACHE = 'PYTEST_XDIST_WORKER' not in os.environ and CACHE not in os.environ
if OWN_CACHE:
  os.environ[CACHE] = tempfile.mkdtemp(prefix='emojax-tests-')
os.environ.setdefault('JAX_COMPILATION_CACHE_MAX_SIZE', str(2 * 2**30))
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')

# A process takes whole files, so that what their tests share is made once; these
# come first, as they would make the others wait at the end.
LONG = (
  'test_papers',
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
  'test_web_browser',
  'test_onnx_networks',
  'test_folding',
)


def pytest_collection_modifyitems(items):
  """Puts the files that take longest first."""

  def place(item):
    name = item.path.stem
    return LONG.index(name) if name in LONG else len(LONG)

  items.sort(key=place)


def pytest_unconfigure():
  """Removes the programs, once the workers have ended."""
  if OWN_CACHE:
    shutil.rmtree(os.environ[CACHE], ignore_errors=True)


@pytest.fixture(autouse=True, scope='module')
def collected():
  """Programs and data of the module before do not wait for the next ones.

  Done before a module, as pytest holds what a test was given until after it. What
  is left lives on: collections that the tests cause need not look at it again.
  """
  gc.collect()
  gc.freeze()


@pytest.fixture(scope='module')
def users_programs():
  """See `code_generator.users_programs`."""
  with code_generator.users_programs():
    yield
