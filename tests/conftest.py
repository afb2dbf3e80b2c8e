"""Four CPU devices for every test, and a compiler that does not try hard."""

import os

# Before JAX is imported anywhere.
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '')
  + ' --xla_force_host_platform_device_count=4'
  # Tests compile much and compute little; this halves their time.
  + ' --xla_backend_optimization_level=0'
)
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
