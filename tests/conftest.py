"""Four CPU devices for every test, and a compiler that does not try hard."""

import functools
import gc
import importlib.metadata
import os

import pytest

# Tracing makes millions of objects that live on (see `compilation`).
gc.set_threshold(100_000, 10, 10)
# Tests compile much and compute little. Of XLA's two code generators for CPUs the
# older one, without optimisation, is the fastest for small programs. It rounds
# differently from one program to the next, and errs in some gradients of XLA's own
# convolutions: tests that notice take `users_options`. That its flag exists is
# known of these versions.
OLDER_GENERATOR = importlib.metadata.version('jaxlib').startswith('0.10.')
# Before JAX is imported anywhere.
os.environ['XLA_FLAGS'] = ' '.join(
  [
    os.environ.get('XLA_FLAGS', ''),
    '--xla_force_host_platform_device_count=4',
    '--xla_backend_optimization_level=0',
    *['--xla_cpu_use_fusion_emitters=false'] * OLDER_GENERATOR,
  ]
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
  """Programs and data of a module's tests do not wait for the next ones'.

  What is left lives on: later collections, of which the tests cause many, need
  not look at it again.
  """
  yield
  gc.collect()
  gc.freeze()


@pytest.fixture(scope='session')
def users_options():
  """Compiler options for the code generator that users have."""
  return {'xla_cpu_use_fusion_emitters': True} if OLDER_GENERATOR else {}


@pytest.fixture(scope='module')
def users_programs(users_options):
  """The engine's programs by the code generator that users have."""
  from emojax.engine import programs

  with pytest.MonkeyPatch.context() as patch:
    make = functools.partial(programs._program, options=users_options)
    patch.setattr(programs, '_program', make)
    yield
