"""benchmarks/routing.py: from predictions to the numbers of the page."""

import json

import numpy as np
import pytest

import emojax
from benchmarks import routing as tool
from benchmarks import routing_page as page
from benchmarks import routing_predictions as predictions
from emojax.data.transform import corruptions
from emojax.metrics import ood, scod, selective

RNG_FACES, RNG_FOREIGN = 120, 60


def made(rng, count, sharp, agree):
  """Probabilities of three members, [3, N, 8]."""
  base = rng.normal(size=(1, count, 8)) * sharp
  logits = base + rng.normal(size=(3, count, 8)) * (1 - agree)
  probs = np.exp(logits)
  return np.float32(probs / probs.sum(-1, keepdims=True))


@pytest.fixture(scope='module')
def found():
  """Predictions of every set: foreign images are those with disagreement."""
  rng = np.random.default_rng(0)
  sets = {
    'validation': made(rng, RNG_FACES, 2, 0.9),
    'test': made(rng, RNG_FACES, 2, 0.9),
    'foreign-noise': made(rng, RNG_FOREIGN, 1.5, 0.0),
  }
  for kind in corruptions.KINDS:
    for severity in predictions.SEVERITIES:
      name = predictions.corrupted_name(kind, severity)
      sets[name] = made(rng, RNG_FACES, 2 - 0.2 * severity, 0.8)
  return sets


@pytest.fixture(scope='module')
def ballots(found):
  """Ten votes drawn from the mean predictions; 'unknown' and 'no face' last."""
  rng = np.random.default_rng(1)
  drawn = {}
  for name in ('validation', 'test'):
    mean = np.float64(found[name]).mean(0)
    mean /= mean.sum(-1, keepdims=True)
    votes = np.array([rng.multinomial(10, p) for p in mean])
    drawn[name] = np.pad(votes, ((0, 0), (0, 2)))
  drawn['test'][3] = [0] * 8 + [0, 10]  # no face: it is left out
  return drawn


@pytest.fixture(scope='module')
def model():
  return emojax.load('ferplus')


@pytest.fixture(scope='module')
def measured(found, ballots, model):
  return tool.measure(found, ballots, model, replicates=20, seed=0)


def test_faces_without_a_vote_are_left_out(measured):
  faces = measured['faces']
  assert faces['test'] == RNG_FACES - 1
  assert faces['validation'] == RNG_FACES
  assert 0 < faces['ambiguous'] < RNG_FACES
  assert faces['foreign'] == {'noise': RNG_FOREIGN}


def test_numbers_are_those_of_the_metrics(measured, found, ballots):
  test = tool.faces(ballots['test'], found['test'])
  outside = tool.uncertainty.decompose(np.float64(found['foreign-noise']))
  for kind in tool.KINDS:
    mine = getattr(test.doubt, kind)
    doubt = mine[test.labelled]
    curve = selective.risk_coverage(test.wrong, doubt)
    errors = measured['errors'][kind]
    assert errors['aurc']['value'] == pytest.approx(curve.aurc)
    assert errors['e_aurc']['value'] == pytest.approx(curve.e_aurc)
    assert errors['coverage']['value'] == pytest.approx(curve.coverage_at(0.05))
    right = selective.error_auroc(test.wrong, doubt)
    assert errors['auroc']['value'] == pytest.approx(right)
    one = measured['foreign']['noise'][kind]
    theirs = getattr(outside, kind)
    auroc = ood.detect(mine, theirs).auroc
    assert one['auroc']['value'] == pytest.approx(auroc)
    area = scod.scod(test.wrong, doubt, theirs).area
    assert one['scod']['value'] == pytest.approx(area)
    corrupted = measured['corruption'][kind]
    assert corrupted['noise-5']['value'] > corrupted['noise-1']['value']
  low, high = measured['votes']['total']['interval']
  assert low <= measured['votes']['total']['value'] <= high


def test_at_equal_rejection_disagreement_keeps_ambiguous_faces(measured):
  for share, row in measured['equal']['noise'].items():
    for rule in ('one', 'two'):
      assert row[rule]['rejected'] == pytest.approx(float(share), abs=0.25)
    assert row['difference']['value'] == pytest.approx(
      row['two']['ambiguous']['value'] - row['one']['ambiguous']['value']
    )
  row = measured['equal']['noise']['0.9']
  assert row['difference']['value'] > 0.2


def test_routes_are_by_validation_faces_alone(measured, found, ballots, model):
  for row in measured['routes']:
    assert sum(row['shares'].values()) == pytest.approx(1)
    assert row['shares']['reject'] == pytest.approx(row['budget'][0], abs=0.08)
    assert ('votes_held' in row) == (row['rule'] == 'two')
  other = found | {'test': found['test'][:, ::-1]}
  again = tool.measure(other, ballots, model, replicates=2, seed=0)
  # The same faces in another order are rejected by the same thresholds.
  assert [row['foreign'] for row in again['routes']] == [
    row['foreign'] for row in measured['routes']
  ]


def test_halves_are_disjoint_and_complete():
  first, second = tool.halves(11, 0)
  assert sorted([*first, *second]) == list(range(11))
  assert len(first) == 5


def test_the_page_keeps_what_is_around_the_tables(measured, tmp_path):
  path = tmp_path / 'page.md'
  path.write_text(
    f'# Title\n\n{page.START}\nformer numbers\n{page.END}\n\nafter\n'
  )
  numbers = json.loads(json.dumps(measured))
  page.write(path, numbers)
  text = path.read_text()
  assert text.startswith('# Title\n\n')
  assert text.endswith('\n\nafter\n')
  assert 'former numbers' not in text
  for one in page.tables_of(measured):
    assert f'### {one.title}' in text
    assert all(len(row) == len(one.columns) for row in one.rows)
  for name in page.FIGURES:
    assert (tmp_path / 'figures' / 'page' / f'{name}.png').stat().st_size > 9999
  path.write_text('# no markers')
  with pytest.raises(ValueError, match='markers'):
    page.write(path, numbers)
  assert path.read_text() == '# no markers'


class Ensemble:
  """Counts its predictions; the first pixel says which image it was."""

  def __init__(self):
    self.metadata, self.calls = {'name': 'ensemble'}, 0

  def predict(self, images, batch):
    self.calls += 1
    said = np.zeros((2, len(images), 3), np.float32)
    said[:, :, 0] = images[:, 0, 0, 0]
    return emojax.trained.model.Output({}, {'expr': said}, {}, {})


def test_predictions_are_made_once_and_of_one_model(tmp_path):
  images = {'a': lambda: np.full((4, 2, 2, 1), 7, np.uint8)}
  model = Ensemble()
  first = predictions.predict(model, images, 'expr', tmp_path, {'seed': 0})
  images['b'] = lambda: np.zeros((1, 2, 2, 1), np.uint8)
  again = predictions.predict(model, images, 'expr', tmp_path, {'seed': 0})
  assert model.calls == 2
  np.testing.assert_array_equal(first['a'], again['a'])
  assert again['a'][0, 0, 0] == 7
  with pytest.raises(ValueError, match='predictions of another seed'):
    predictions.predict(model, images, 'expr', tmp_path, {'seed': 1})
  model.metadata = {'name': 'other'}
  with pytest.raises(ValueError, match='predictions of another model'):
    predictions.predict(model, images, 'expr', tmp_path, {'seed': 0})


def test_grey_faces_stay_grey_under_noise():
  grey = np.full((3, 8, 8, 3), 100, np.uint8)
  made_ = dict(predictions._corrupted(lambda: grey, 0, grey=True))
  assert len(made_) == 25
  assert made_['noise-5']().shape == (3, 8, 8, 1)
  in_colour = dict(predictions._corrupted(lambda: grey, 0, grey=False))
  assert in_colour['noise-5']().shape == (3, 8, 8, 3)
