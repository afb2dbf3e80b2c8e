"""The report of a made-up run: what it says, shows and leaves out."""

import io
import json

import made_up
import pytest
from rich.console import Console

from emojax.experiments.bayesian import (
  evaluate,
  figures,
  findings,
  report,
  tables,
)
from emojax.experiments.bayesian.evaluate import Setting
from emojax.runtime import workdir

FACTS = {
  'rule': 'majority',
  'eval_rule': 'majority',
  'select': 'last',
  'batch_norm': 'inference',
}


def results_of(faces, logits):
  """(results, curves) of an ensemble and of MC dropout."""
  judges = evaluate.judges_of(faces)
  found, curves = {'alexnet': {}}, {'alexnet': {}}
  for method, options in (
    ('dropout', {'members': 2, 'passes': 5}),
    ('ensemble', {'members': 10, 'noise': 2.0}),
  ):
    made = made_up.predictions(method, logits, **options)
    pair = evaluate.study(made, method, faces, judges, Setting(3, 40, 0))
    found['alexnet'][method], curves['alexnet'][method] = pair
  results = evaluate.results(faces, FACTS, found)
  return results | {'timings': {'alexnet-dropout': 1.5}}, curves


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  path = tmp_path_factory.mktemp('run')
  faces, logits = made_up.faces(120)
  results, curves = results_of(faces, logits)
  for name, value in (
    ('results', results),
    ('curves', curves),
    ('config', {'config': {'seed': 3}, 'environment': {'jax': '0'}}),
  ):
    workdir.write_json(path / f'{name}.json', value)
  report.write(path, faces.clips)
  return path, results


def test_report(run):
  path, results = run
  text = (path / 'report.md').read_text()
  for title in (
    'The error falls',
    'Against labels (rule: majority)',
    "Against the annotators' votes, 120 faces",
    'Deep ensemble, 10',
    'MC-Dropout, noise off',
    'Aleatoric and epistemic uncertainty',
    'AlexNet, Deep ensemble -',
    'config: seed',
  ):
    assert title in text
  html = (path / 'report.html').read_text()
  assert html.count('<img') == len(list((path / 'figures').iterdir())) == 9
  assert (
    f'{results["studies"]["alexnet"]["ensemble"]["mean"]["nll"][-1]:.3f}'[:5]
    in text
  )


def test_terminal(run):
  console = Console(file=io.StringIO(), width=200)
  report.terminal(run[1], console)
  text = console.file.getvalue()
  assert 'The calibration error against labels rises' in text
  assert 'AUROC of the entropy' in text


def test_verdicts_are_about_the_last_size():
  change = {'value': -0.2, 'low': -0.3, 'high': -0.1}
  assert findings.verdict(change, -1) == 'yes'
  assert findings.verdict(change, 1) == 'no'
  wide = {'value': -0.2, 'low': -0.5, 'high': 0.1}
  assert findings.verdict(wide, -1) == findings.verdict(wide, 1) == 'unclear'
  assert findings.verdict(None, 1) == 'unclear'


def test_one_method_against_a_claim_is_enough(run):
  results = json.loads(json.dumps(run[1]))
  studies = results['studies']['alexnet']
  for study in studies.values():
    study['change']['nll'] = {'value': -1, 'low': -2, 'high': -0.5}
  row = next(r for r in findings.all_findings(results) if 'log-lik' in r[0])
  assert row[-1] == 'yes'
  assert 'AlexNet, Deep ensemble -1.0000 [-2.0000, -0.5000]' in row[2]
  studies['dropout']['change']['nll'] = {'value': 1, 'low': 0.5, 'high': 2}
  row = next(r for r in findings.all_findings(results) if 'log-lik' in r[0])
  assert row[-1] == 'no'


def test_without_votes():
  faces, logits = made_up.faces(60, votes=False)
  results, curves = results_of(faces, logits)
  assert tables.against_votes(results) is None
  claims = [row[0] for row in findings.all_findings(results)]
  assert not any('votes' in claim for claim in claims)
  assert figures.by_size(results, 'votes/kl', 'KL') is None
  assert figures.calibration(results, curves, by_votes=True) is None
