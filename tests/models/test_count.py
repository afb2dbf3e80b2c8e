"""Counted sizes equal the published ones and hand arithmetic."""

import pytest

from emojax import models, tasks
from emojax.models import __main__ as command
from emojax.models.count import count


@pytest.mark.parametrize(
  ('name', 'parameters', 'macs'),
  [
    ('emenet_v', 1_684_539, 221_644_672),
    pytest.param(
      *('emenet_va', 1_920_891, 227_358_592), marks=pytest.mark.slow
    ),
  ],
)
def test_published_sizes(name, parameters, macs):
  size = count(models.build(name, tasks.ABAW2021, 112))
  assert size.parameters == parameters
  assert size.macs == macs
  # Flax's GRU has one bias for two gates: 256 fewer in each of three heads.
  assert size.flax_gru == parameters - 3 * 256
  assert size.parts['trunk'] == 937_344
  assert sum(size.parts.values()) == parameters


@pytest.mark.slow
def test_multiply_accumulates_follow_the_image_size():
  small, large = (
    count(models.build('emenet_v', tasks.ABAW2021, s)) for s in (32, 64)
  )
  heads = 3 * 3 * 128 * (512 + 128) + 128 * (12 + 7 + 40)
  assert large.macs - heads == 4 * (small.macs - heads)


@pytest.mark.slow
def test_the_table_names_every_model(capsys, monkeypatch):
  monkeypatch.setattr('sys.argv', ['models', '--image-size', '32'])
  command.main()
  printed = capsys.readouterr().out
  for name in models.MODELS:
    assert name in printed
  assert 'trunk' not in printed


@pytest.mark.slow
def test_the_table_shows_parts_if_asked(capsys, monkeypatch):
  one = {'emenet_v': models.MODELS['emenet_v']}
  monkeypatch.setattr(models, 'MODELS', one)
  monkeypatch.setattr('sys.argv', ['models', '--image-size', '32', '--parts'])
  command.main()
  assert 'trunk' in capsys.readouterr().out


def test_the_overview_names_every_array(capsys, monkeypatch):
  monkeypatch.setattr('sys.argv', ['models', '--overview', 'emenet_v'])
  command.main()
  printed = capsys.readouterr().out
  assert 'Total: 1,684,539' in printed
  assert 'trunk/' in printed


def test_an_overview_of_no_model(capsys, monkeypatch):
  monkeypatch.setattr('sys.argv', ['models', '--overview', 'emenet'])
  with pytest.raises(SystemExit):
    command.main()
  assert "invalid choice: 'emenet'" in capsys.readouterr().err
