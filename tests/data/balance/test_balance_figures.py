"""Before and after balancing: what the figures count, and the command."""

import numpy as np
import pytest
import trees

from emojax import tasks
from emojax.data.balance import distributions
from emojax.data.balance import figures as balance_figures
from emojax.data.prepare import command as prepare
from emojax.data.store import stored

TASK = tasks.expr_task(('neutral', 'anger', 'disgust'))


def _classes(counts, missing=0):
  """Targets with so many frames of each class, the last ones unlabelled."""
  rows = np.repeat(np.eye(3, dtype=np.float32), counts, axis=0)
  mask = np.ones(len(rows), np.float32)
  mask[len(rows) - missing :] = 0
  return tasks.Target(rows, mask)


def test_stages_of_classes():
  targets = {'wild': _classes([900, 90, 10]), 'lab': _classes([0, 0, 70], 20)}
  found = balance_figures.stages(TASK, targets, seed=1)
  assert list(found) == ['wild', 'lab', 'merged', 'resampled']
  assert found['wild'].tolist() == [900, 90, 10]
  assert found['lab'].tolist() == [0, 0, 50]
  assert found['merged'].tolist() == [900, 90, 60]
  # Frames without a label are never drawn; the classes come out even.
  assert found['resampled'].sum() == 1050
  np.testing.assert_allclose(found['resampled'], 350, rtol=0.15)
  alone = balance_figures.stages(TASK, {'wild': targets['wild']})
  assert list(alone) == ['wild', 'resampled']


def test_the_first_data_set_is_thinned_as_in_training():
  targets = {'wild': _classes([900, 90, 10], 5), 'lab': _classes([0, 0, 70])}
  thinning = balance_figures.Thinning(5, {'neutral': 10, 'anger': 2})
  found = balance_figures.stages(TASK, targets, thinning=thinning)
  assert list(found) == ['wild', 'wild, thinned', 'lab', 'merged', 'resampled']
  assert found['wild'].tolist() == [900, 90, 5]
  assert found['wild, thinned'].tolist() == [90, 45, 5]
  assert found['merged'].tolist() == [90, 45, 75]
  va = tasks.va_task()
  value = np.linspace(-1, 1, 100, dtype=np.float32).repeat(2).reshape(-1, 2)
  targets = {'wild': tasks.Target(value, np.ones_like(value))}
  found = balance_figures.stages(va, targets, thinning=thinning)
  assert found['wild, thinned'].sum() == found['resampled'].sum() == 20
  assert found['wild'].sum() == 100


def test_stages_of_units_and_numbers():
  rng = np.random.default_rng(0)
  au = tasks.au_task(('AU1', 'AU2'))
  value = np.float32(rng.random((4000, 2)) < [0.5, 0.02])
  target = tasks.Target(value, np.ones_like(value))
  found = balance_figures.stages(au, {'wild': target})
  before, after = (
    found[name][:, 1] / found[name].sum(1) for name in ('wild', 'resampled')
  )
  assert after[1] > 2 * before[1]
  va = tasks.va_task()
  value = np.clip(rng.normal(0, 0.3, (4000, 2)), -1, 1).astype(np.float32)
  found = balance_figures.stages(va, {'w': tasks.Target(value, value * 0 + 1)})
  spread = {name: np.std(count[count > 0]) for name, count in found.items()}
  assert spread['resampled'] < spread['w'] / 2


@pytest.mark.slow
def test_command(affwild2_store, tmp_path, capsys, monkeypatch):
  raf = trees.rafdb(tmp_path / 'raf').root
  stores = {
    name: str(prepare.prepare('rafdb', raf, tmp_path / name, workers=1, **more))
    for name, more in (
      ('own', {}),
      ('mapped', {'options': {'expressions': 'affwild2'}}),
    )
  }
  arguments = ['--data', str(affwild2_store), '--out', str(tmp_path / 'out')]
  drawn = {}
  draw = distributions.draw

  def kept(task, counts, path):
    drawn[task.name] = counts
    draw(task, counts, path)

  monkeypatch.setattr(distributions, 'draw', kept)
  assert balance_figures.main([*arguments, '--data', stores['mapped']]) == 0
  written = capsys.readouterr().out.split()
  assert [name.rsplit('/')[-1] for name in written] == [
    'balance-au.png',
    'balance-expr.png',
    'balance-va.png',
  ]
  for path in (tmp_path / 'out').iterdir():
    assert path.read_bytes()[:4] == b'\x89PNG'
  stages = list(drawn['expr'])
  assert stages == ['generated affwild2', 'rafdb', 'merged', 'resampled']
  assert list(drawn['va']) == ['generated affwild2', 'resampled']
  faces = len(stored.Store(stores['mapped']).table('train'))
  assert drawn['expr']['rafdb'].sum() == faces
  more = [*arguments, '--data', stores['mapped'], '--keep', 'neutral=2']
  assert balance_figures.main([*more, '--va_every=3']) == 0
  assert 'generated affwild2, thinned' in drawn['expr']
  frames = drawn['va']['generated affwild2'].sum()
  assert drawn['va']['generated affwild2, thinned'].sum() == -(-frames // 3)
  assert list(drawn['au']) == ['generated affwild2', 'resampled']
  capsys.readouterr()
  assert balance_figures.main([*more, '--keep', 'joy=2']) == 1
  assert "keep 'joy': expected one of neutral" in capsys.readouterr().err
  assert balance_figures.main([*more, '--va_every=0']) == 1
  assert 'va_every 0' in capsys.readouterr().err
  with pytest.raises(SystemExit):
    balance_figures.main([*more, '--keep', 'neutral=0'])
  assert 'expected CLASS=K' in capsys.readouterr().err
  assert balance_figures.main([*arguments, '--data', stores['own']]) == 1
  assert "task 'expr' has labels" in capsys.readouterr().err
  assert balance_figures.main([*arguments, '--split', 'eval']) == 1
  assert "no split 'eval'" in capsys.readouterr().err
  assert balance_figures.main([*arguments, *arguments[:2]]) == 1
  assert 'two data sets of one name' in capsys.readouterr().err
