"""Runs on hidden frames, scored by the posteriors that the data were made of."""

import json
import pathlib

import numpy as np
import pytest

from benchmarks import hidden_networks
from emojax.evaluation import Predictions
from emojax.metrics import divergence
from emojax.tasks import ABAW2021

DATA = {
  'name': 'embedded',
  'hidden': 0.5,
  'seed': 3,
  'test_clips': 6,
  'eval_clip_length': 12,
  'clip_length': 4,
}
TASKS = tuple(task for task in ABAW2021 if task.name in ('au', 'expr'))


def write(folder: pathlib.Path, worse: float, **changes):
  """A run of two members that know the posteriors, but for `worse`."""
  config = {'data': DATA | changes, 'model': {'head': folder.name}}
  _, truth = hidden_networks.known(config)
  logits = {
    'au': np.log(truth['au']) - np.log1p(-truth['au']),
    'expr': np.log(truth['expr']),
  }
  logits = {
    name: np.stack([x, x * (1 - worse)]).astype(np.float32)
    for name, x in logits.items()
  }
  (folder / 'predictions').mkdir(parents=True)
  (folder / 'config.json').write_text(json.dumps({'config': config}))
  scores = dict.fromkeys(hidden_networks.HIGHER, 0.5)
  results = {'generations': {'Tea': {'members': [scores] * 2}}}
  (folder / 'results.json').write_text(json.dumps(results))
  lines = [
    {'epoch': e, 'member': m} | dict.fromkeys(hidden_networks.CURVES, e + m)
    for e in range(2)
    for m in range(2)
  ]
  text = ''.join(json.dumps(line) + '\n' for line in lines)
  (folder / 'metrics.jsonl').write_text(text)
  found = Predictions('Tea', TASKS, {'test': logits}, [0, 0])
  found.save(folder / 'predictions' / 'Tea.npz')
  return config


def test_who_knows_the_posterior_has_its_entropy(tmp_path):
  config = write(tmp_path / 'clips-v-gru', worse=0.5)
  rows = hidden_networks.members(tmp_path / 'clips-v-gru')
  gaps, truth = hidden_networks.known(config)
  assert 0.2 < gaps.mean() < 0.8
  for task in TASKS:
    for place, frames in (('hidden', gaps), ('seen', ~gaps)):
      exact, flat = rows[f'{task.name.upper()} NLL, {place}']
      p = truth[task.name][frames]
      best = divergence.posterior_entropy(task, p).mean()
      assert exact == pytest.approx(best, abs=1e-4)
      assert flat > exact + 0.01


def test_the_page(tmp_path, monkeypatch, capsys):
  for i, name in enumerate(hidden_networks.NAMES):
    write(tmp_path / name, worse=0.1 * i)
  figure = tmp_path / 'curves.png'
  said = ['hidden_networks', str(tmp_path), f'--figure={figure}']
  monkeypatch.setattr('sys.argv', said)
  hidden_networks.main()
  assert figure.read_bytes().startswith(b'\x89PNG')
  text = capsys.readouterr().out
  assert text.count('| with memory and voices |') == 1
  assert "Holm's adjustment over the 32 differences" in text


def test_runs_that_cannot_be_compared(tmp_path, monkeypatch):
  for name in hidden_networks.NAMES:
    write(tmp_path / name, worse=0.0, seed=int(name == 'clips-v-gru'))
  monkeypatch.setattr('sys.argv', ['hidden_networks', str(tmp_path)])
  with pytest.raises(SystemExit, match=r'runs differ in data\.seed'):
    hidden_networks.main()
  (tmp_path / 'clips-v-gru' / 'results.json').unlink()
  with pytest.raises(SystemExit, match=r'results\.json cannot be read'):
    hidden_networks.main()
