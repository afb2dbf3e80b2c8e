"""Models of this package: they load by name, and their cards are of their weights."""

import hashlib
import json
import os
import pathlib

import numpy as np
import pytest

import emojax
from benchmarks import shipped as tool
from emojax.trained import folder, loading, shipped
from emojax.trained.answering import ModelError

LARGEST = 8_000_000  # bytes of all weights together


@pytest.fixture(params=shipped.names())
def name(request):
  return request.param


def test_there_is_one():
  assert 'ferplus' in shipped.names()
  files = shipped.FOLDER.rglob('*')
  assert sum(file.stat().st_size for file in files) <= LARGEST


@pytest.mark.slow
def test_faces_in_colour_are_made_grey_as_those_of_the_training_data(name):
  model = emojax.load(name)
  rng = np.random.default_rng(0)
  faces = rng.integers(0, 256, (2, 48, 48, 3), np.uint8)
  luma = np.rint(faces @ np.float32([0.299, 0.587, 0.114])).astype(np.uint8)
  output = model.predict(faces)
  grey = model.predict(np.repeat(luma[..., None], 3, -1))
  np.testing.assert_array_equal(output.members['expr'], grey.members['expr'])
  np.testing.assert_allclose(output.probabilities['expr'].sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize('file', [folder.METADATA, 'model.onnx'])
def test_a_folder_of_the_same_name_is_not_passed_over(
  file, name, tmp_path, monkeypatch
):
  """Whoever has exported one there would get the answers of another model."""
  monkeypatch.chdir(tmp_path)
  here = pathlib.Path(name)
  here.mkdir()
  assert shipped.find(name) == shipped.FOLDER / name  # it holds no model
  (here / file).touch()
  with pytest.raises(
    ModelError, match=rf'write \./{name} .*weights/{name} for'
  ):
    shipped.find(name)
  # A relative path of pathlib has lost its './'.
  for given in (name, pathlib.Path(f'./{name}')):
    with pytest.raises(ModelError, match='holds another one'):
      emojax.load(given)
  for given in (f'./{name}', f'{name}/', here.absolute()):
    assert shipped.find(os.fspath(given)).samefile(here)
    found = loading.onnx_file(given)
    assert (found is not None) == file.endswith('.onnx')
    assert found is None or found.samefile(here / file)
  monkeypatch.chdir(shipped.FOLDER)  # where both are one
  assert shipped.find(name) == shipped.FOLDER / name


def test_nothing_says_where_it_was_made(name):
  where = shipped.FOLDER / name
  for file in (folder.METADATA, folder.CARD, tool.SCORES):
    text = (where / file).read_text()
    assert '/work' not in text
    assert '/home' not in text


def test_the_card_is_of_these_weights(name):
  where = shipped.FOLDER / name
  weights = (where / folder.WEIGHTS).read_bytes()
  scores = json.loads((where / tool.SCORES).read_text())
  assert np.sum(scores['confusion']) == scores['with_majority']
  assert scores['weights'] == hashlib.sha256(weights).hexdigest()
  assert (where / folder.CARD).read_text() == tool.render(name)


@pytest.mark.slow
def test_the_scores_are_of_these_weights(name):
  data = os.environ.get('EMOJAX_FERPLUS')
  if not data:
    pytest.skip(
      'EMOJAX_FERPLUS names no folder of FER+, prepared with rule=raw'
    )
  kept = json.loads((shipped.FOLDER / name / tool.SCORES).read_text())
  found = json.loads(json.dumps(tool.measure(name, data)))
  assert found.keys() == kept.keys()
  assert found['faces'] == kept['faces']
  for key in tool.ROWS:
    for kind in ('single', 'ensemble'):
      assert found[kind][key] == pytest.approx(kept[kind][key], abs=2e-3)
  power = kept['favour_rare'].pop('power')
  assert found['favour_rare'].pop('power') == power
  for p, scores in kept['favour_rare']['ensemble'].items():
    again = found['favour_rare']['ensemble'][p]
    for key in tool.FAVOURED:
      assert again[key] == pytest.approx(scores[key], abs=3e-3)


@pytest.mark.slow
def test_sets_grow_with_their_coverage(name):
  model = emojax.load(name)
  rng = np.random.default_rng(1)
  output = model.predict(rng.integers(0, 256, (4, 48, 48, 3), np.uint8))
  small, large = (model.sets(output, level)['expr'] for level in (0.8, 0.95))
  assert small.shape == (4, 8)
  assert small.dtype == bool
  assert (small <= large).all()
  assert large.sum() > small.sum()
  votes = model.sets(output, 0.9, {'expr': 'vote_classes'}, votes=True)
  assert votes['expr'].shape == (4, 8)
  with pytest.raises(
    folder.ModelError, match=r'thresholds of 0\.8, 0\.9, 0\.95'
  ):
    model.sets(output, 0.7)


@pytest.mark.slow
def test_models_of_before_have_no_sets(name):
  model = emojax.load(name)
  output = model.predict(np.zeros((1, 48, 48, 3), np.uint8))
  del model.metadata['conformal']
  with pytest.raises(
    folder.ModelError, match='exported without prediction sets'
  ):
    model.sets(output)


def test_both_routes_have_thresholds(name):
  said = json.loads((shipped.FOLDER / name / folder.METADATA).read_text())
  limits = said['thresholds']['uncertainty']
  for kind in ('aleatoric', 'epistemic'):
    by_share = limits['mean'][kind]
    assert list(by_share) == ['0.01', '0.05', '0.1', '0.2']
    assert sorted(by_share.values(), reverse=True) == list(by_share.values())


def test_thresholds_of_no_use_are_refused(name):
  metadata = emojax.load(name).metadata
  folder.check_metadata(metadata)
  part = metadata['conformal']['tasks']['expr']['lac']['all']
  part['thresholds'][0] = 2.0
  with pytest.raises(ValueError, match=r'lac.all.thresholds: .*not to descend'):
    folder.check_metadata(metadata)
