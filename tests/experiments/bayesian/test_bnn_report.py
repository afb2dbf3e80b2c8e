"""The report of a made-up run: what it says, shows and leaves out."""

import copy
import io

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
    '## Prediction sets',
    'AlexNet, MC-Dropout: EXPR VOTES, vote_classes',
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


def study(results, **changes):
  """An ensemble's study with other numbers: value and error by score."""
  found = copy.deepcopy(results)
  for part in ('change', 'rival'):
    for name, (value, error) in changes.get(part, {}).items():
      found['studies']['alexnet']['ensemble'][part][name] = {
        'value': value,
        'error': error,
        'freedom': None,
        'low': value - 2 * error,
        'high': value + 2 * error,
      }
  del found['studies']['alexnet']['dropout']
  return found


def verdict(results, start):
  (row,) = [r for r in findings.all_findings(results) if r[0].startswith(start)]
  return row[-1]


def test_a_claim_holds_or_is_contradicted_beyond_chance(run):
  for value, expected in ((-0.2, 'yes'), (0.2, 'no')):
    found = study(run[1], change={'error': (value, 0.01)})
    assert verdict(found, 'The error falls') == expected
    found = study(run[1], change={'error': (value, 0.2)})
    assert verdict(found, 'The error falls') == 'unclear'


def test_identities_are_judged_by_one_network_at_its_best_temperature(run):
  sure, worse = (-0.2, 0.01), (0.1, 0.01)
  for start, score in (
    ('The negative log-likelihood', 'nll'),
    ('The confidence', 'confidence'),
    ('Predictions get closer', 'votes/kl'),
  ):
    found = study(run[1], change={score: sure}, rival={score: sure})
    assert verdict(found, start) == 'yes'
    found = study(run[1], change={score: sure}, rival={score: worse})
    assert verdict(found, start) == 'identity'
  # Softer predictions are enough for this one, too, but it is no identity.
  start, score = 'The calibration error against the votes', 'votes/class_ece'
  found = study(run[1], change={score: sure}, rival={score: worse})
  assert verdict(found, start) == 'unclear'
  found = study(run[1], change={score: worse}, rival={score: worse})
  assert verdict(found, start) == 'no'


def test_one_method_against_a_claim_is_enough(run):
  results = study(run[1], change={'error': (-0.2, 0.01)})
  methods = results['studies']['alexnet']
  methods['dropout'] = copy.deepcopy(methods['ensemble'])
  row = findings.all_findings(results)[0]
  assert row[-1] == 'yes'
  assert 'AlexNet, Deep ensemble -0.2000 [-0.2200, -0.1800]' in row[2]
  methods['dropout']['change']['error']['value'] = 0.2
  assert findings.all_findings(results)[0][-1] == 'no'


def test_networks_below_the_floor_are_not_counted(run):
  results = study(run[1], change={'error': (0.2, 0.01)})
  methods = results['studies']['alexnet']
  methods['dropout'] = copy.deepcopy(methods['ensemble'])
  methods['dropout']['change']['error']['value'] = -0.2
  methods['dropout']['mean']['error'][0] = 0.1
  methods['ensemble']['mean']['error'][0] = 0.3
  results['validity'] = {'floor': 0.65, 'improving': []}
  assert verdict(results, 'The error falls') == 'no'
  results['validity'] = {'floor': 0.8, 'improving': []}
  row = findings.all_findings(results)[0]
  assert row[-1] == 'yes'
  assert 'not counted: an accuracy of 0.700 is below the floor 0.80' in row[2]
  results['validity']['floor'] = 0.95
  assert {r[-1] for r in findings.all_findings(results)} == {'untestable'}
  text = report._summary(results, findings.all_findings(results))
  assert '7 cannot be tested here' in text


def test_networks_of_unequal_skill_are_not_counted(run):
  results = study(run[1], change={'error': (-0.2, 0.01)})
  ensemble = results['studies']['alexnet']['ensemble']
  single = ensemble['networks']
  assert single['error'] == pytest.approx(
    ensemble['mean']['error'][0], abs=0.05
  )
  single['std'] = 0.02
  for spread, expected in ((0.0, 'yes'), (0.025, 'yes'), (0.01, 'untestable')):
    results['validity'] = {'floor': 0.0, 'improving': [], 'spread': spread}
    assert verdict(results, 'The error falls') == expected
  row = findings.all_findings(results)[0]
  assert 'have a standard deviation of 0.020, more than 0.01' in row[2]
  single['std'] = None
  assert verdict(results, 'The error falls') == 'untestable'


def test_tables_of_runs_of_before_have_what_they_know(run):
  new = tables.against_labels(run[1])
  place = new.columns.index('confidence − accuracy')
  assert new.columns[place - 2 : place] == ['ECE', 'ECE (unweighted)']
  old = copy.deepcopy(run[1])
  for found in old['studies']['alexnet'].values():
    del found['mean']['overconfidence']
  columns = tables.against_labels(old).columns
  assert columns == [name for name in new.columns if name != new.columns[place]]


def test_networks_that_were_still_improving_are_not_counted(run):
  results = study(run[1], change={'error': (0.2, 0.01)})
  results['studies']['alexnet']['ensemble']['stack'] = 'alexnet-none'
  results['validity'] = {'floor': 0.0, 'improving': ['alexnet-dropout']}
  assert verdict(results, 'The error falls') == 'no'
  for key in ('improving', 'unlearned'):
    results['validity'] = {'floor': 0.0, key: ['alexnet-none']}
    assert verdict(results, 'The error falls') == 'untestable'


def test_runs_without_errors_over_members_decide_nothing(run):
  """Those that were made before, with intervals over faces alone."""
  results = copy.deepcopy(run[1])
  for found in results['studies']['alexnet'].values():
    del found['rival']
    for change in found['change'].values():
      del change['error'], change['freedom']
  verdicts_ = {row[-1] for row in findings.all_findings(results)}
  assert verdicts_ == {'unclear', 'identity'}


def test_without_votes():
  faces, logits = made_up.faces(60, votes=False)
  results, curves = results_of(faces, logits)
  assert tables.against_votes(results) is None
  claims = [row[0] for row in findings.all_findings(results)]
  assert not any('votes' in claim for claim in claims)
  assert figures.by_size(results, 'votes/kl', 'KL') is None
  assert figures.calibration(results, curves, by_votes=True) is None


def test_votes_far_from_the_curves_do_not_flatten_them(run):
  """The axis is the curves'; where the votes are is written above or below them."""
  results = copy.deepcopy(run[1])
  (axis,) = figures.by_size(results | {'votes': None}, 'error', 'e').axes
  low, high = axis.get_ylim()
  for value, drawn in ((low - (high - low) / 2, True), (high + 9, False)):
    results['votes']['error'] = value
    (axis,) = figures.by_size(results, 'error', 'error').axes
    lines = [line.get_label() for line in axis.lines]
    assert ('votes themselves' in lines) == drawn
    said = [text.get_text() for text in axis.texts]
    assert said == ([] if drawn else [f'votes themselves: {value:.3g} ↑'])
    if not drawn:
      bottom, top = axis.get_ylim()
      assert bottom == low
      assert high < top < high + 0.2 * (high - low)
