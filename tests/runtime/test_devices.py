"""How many CPU devices a stack gets."""

import jax
import pytest

from emojax.runtime import devices


@pytest.mark.parametrize(
  ('members', 'asked', 'cores', 'expected'),
  [(5, 0, 2, 1), (6, 0, 4, 3), (4, 0, 8, 4), (1, 0, 8, 1), (5, 2, 8, 2)],
)
def test_cpu_devices(monkeypatch, members, asked, cores, expected):
  set_to = {}
  monkeypatch.delenv('XLA_FLAGS', raising=False)
  monkeypatch.setattr(devices.threads, 'cores', lambda: cores)
  monkeypatch.setattr('jax.config.update', set_to.__setitem__)
  devices.set_cpu_devices(members, asked)
  assert set_to == {'jax_num_cpu_devices': expected}


def test_jax_that_runs_already_keeps_its_devices(monkeypatch, caplog):
  """As in a notebook; two runs alike have nothing to say."""

  def update(*_):
    raise RuntimeError('jax_num_cpu_devices must be set before initialization')

  monkeypatch.delenv('XLA_FLAGS', raising=False)
  monkeypatch.setattr('jax.config.update', update)
  has = jax.config.jax_num_cpu_devices
  for wanted, warnings in ((has, 0), (has + 1, 1)):
    caplog.clear()
    with caplog.at_level('WARNING', logger='absl'):
      devices.set_cpu_devices(2, wanted)
    assert caplog.text.count('JAX runs already') == warnings
