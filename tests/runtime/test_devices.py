"""How many CPU devices a stack gets."""

import pytest
import small_run

from emojax.runtime import devices


@pytest.mark.parametrize(
  ('members', 'asked', 'cores', 'expected'),
  [(5, 0, 2, 1), (6, 0, 4, 3), (4, 0, 8, 4), (1, 0, 8, 1), (5, 2, 8, 2)],
)
def test_cpu_devices(monkeypatch, members, asked, cores, expected):
  set_to = {}
  monkeypatch.delenv('XLA_FLAGS', raising=False)
  monkeypatch.setattr(devices, '_cores', lambda: cores)
  monkeypatch.setattr('jax.config.update', set_to.__setitem__)
  devices.set_cpu_devices(
    small_run.config(ensemble__size=members, runtime__cpu_devices=asked)
  )
  assert set_to == {'jax_num_cpu_devices': expected}
