"""Guarantees by other data: the export's own on its data, honest ones on others."""

import contextlib
import dataclasses
import io
import json
import pathlib

import numpy as np
import pytest
from test_hostile_models import copy, forge, put  # noqa: F401

import emojax
from emojax import cli
from emojax.data.prepare import command as prepare
from emojax.trained import (
  calibration,
  card,
  guarantees,
  recalibrating,
  writing,
)
from emojax.trained import folder as release
from emojax.trained import run as runs
from emojax.trained.recalibrating import Known
from emojax.trained.writing import ExportError, check_free
from emojax.uncertainty import prior


@pytest.fixture(scope='module', autouse=True)
def _quick(quick):
  pass


@pytest.fixture(scope='module')
def run(run_path):
  return runs.open_run(run_path)


def assert_close(found, expected, where=''):
  """Numbers within rounding in the same places, all else equal."""
  assert type(found) is type(expected), where
  if isinstance(expected, dict):
    assert found.keys() == expected.keys(), where
    for key in expected:
      assert_close(found[key], expected[key], f'{where}/{key}')
  elif isinstance(expected, list):
    assert len(found) == len(expected), where
    for i, pair in enumerate(zip(found, expected)):
      assert_close(*pair, f'{where}/{i}')
  elif isinstance(expected, float):
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-5), where
  else:
    assert found == expected, where


def contents(folder):
  return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_thresholds_are_those_of_the_export(exported, tmp_path):
  before = contents(exported)
  again = recalibrating.recalibrate(exported, tmp_path / 'again')
  assert contents(exported) == before
  a, b = (release.read_metadata(folder) for folder in (again, exported))
  for said in (a, b):
    del said['versions'], said['files']
  assert_close(a, b)
  one, other = (
    release.read_arrays(path, release.read_metadata(path))
    for path in (again, exported)
  )
  np.testing.assert_equal(one, other)
  emojax.load(again)  # weights and description belong together
  one, other = (
    (path / release.CARD).read_text().split(card.SECTION)
    for path in (again, exported)
  )
  assert one[0] == other[0]
  assert one[1].splitlines()[-5:] == other[1].splitlines()[-5:]


def test_of_more_people_too(exported, run):
  """Of three no threshold is finite; here every clip is somebody else's."""
  clips = run.validation()
  clips = dataclasses.replace(clips, subject_id=clips.clip_id)
  model = emojax.load(exported)
  found = recalibrating.fitted(model, Known(clips, guarantees.VALIDATION))
  logits = prior.correct(
    run.schema, run.predictions('Stu1').logits['val'], run.priors()['Stu1']
  )
  expected = guarantees.fit(run.schema, logits, clips, run.bin_values())
  assert_close(found['conformal'], expected)
  limits = expected['tasks']['expr']['lac']['all']['thresholds']
  assert None not in limits[:2]
  fitted = calibration.calibrate(run.schema, logits, clips)
  assert_close(found['temperatures'], fitted.temperatures)
  assert_close(found['thresholds']['uncertainty'], fitted.uncertainty)
  decision = model.metadata['thresholds']['decision']
  assert found['thresholds']['decision'] == decision


@pytest.fixture(scope='module')
def own(exported, faces, tmp_path_factory):
  """The model, calibrated on faces of others, whose expressions are known."""
  out = tmp_path_factory.mktemp('own') / 'model'
  data = str(faces('fer2013', ('Training', 'PublicTest')))
  arguments = ['--data', data, '--split', 'validation', '--out', str(out)]
  said = io.StringIO()
  with contextlib.redirect_stdout(said):
    assert cli.main(['calibrate', str(exported), *arguments]) == 0
  # Also of the command: who calibrates on pictures of one person shall see it.
  assert f'note: {guarantees.NAMELESS}\n' in said.getvalue()
  return out


def test_own_data_promise_what_they_have_labels_of(own, exported):
  model = emojax.load(own)
  said = model.metadata['conformal']
  assert list(said['tasks']) == ['expr']
  assert said['calibration'] == {
    'data': 'fer2013',
    'split': 'validation',
    'frames': 12,
    'subjects': 12,
    'selected_on': False,
    'soft': [],
    'notes': [
      "the data have no labels of task 'au'",
      'expr: classes were reordered by name',
      "the data have no labels of task 'va'",
      guarantees.NAMELESS,
    ],
  }
  assert model.metadata['temperatures']['au'] is None
  # Probabilities are of the classes of the training: so are the shares.
  before = release.read_metadata(exported)['thresholds']['prevalence']
  assert model.metadata['thresholds']['prevalence'] == before
  # Twelve labels of grey faces say nothing of a network's temperature.
  assert model.metadata['temperatures']['expr'] is None
  said = 'no temperatures of expr that mean something: beyond 0.1 to 10, as of'
  assert any(note.startswith(said) for note in model.metadata['notes'])
  output = model.predict(np.zeros((3, 32, 32, 3), np.uint8))
  assert list(model.sets(output, 0.9)) == ['expr']
  assert model.route(output).shape == (3,)


def test_the_card_says_what_it_was_calibrated_on(own):
  text = (own / release.CARD).read_text()
  where = 'the split `validation` of `fer2013`'
  assert f'of {where}, which chose nothing of the model. On other' in text
  assert f'above which so many frames of {where} lie' in text
  assert 'the validation set' not in text
  # Shares of classes are of the training, whatever is at hand now.
  assert "shares of the classes in the model's own validation set: " in text
  assert '## Limits' in text


def test_ignored_classes_are_nobody_calibrated_on(exported, faces, tmp_path):
  """As if their frames were not there: neither limits nor counts know them."""
  every = faces('ferplus', ('Training', 'PublicTest'))
  source = every.with_name(f'{every.name}-source')
  options = {'expressions': 'affwild2'}  # which has no contempt
  without = prepare.prepare(
    'ferplus', source, tmp_path / 'seven', size=32, workers=1, options=options
  )
  found, expected = (
    release.read_metadata(
      recalibrating.recalibrate(
        exported, tmp_path / name, str(data), 'validation', ignore
      )
    )
    for name, data, ignore in (
      ('ignored', every, ('contempt',)),
      ('expected', without, ()),
    )
  )
  counts = [x['conformal']['calibration']['frames'] for x in (found, expected)]
  assert counts[0] == counts[1] < 12
  assert_close(found['thresholds'], expected['thresholds'])
  assert_close(found['temperatures'], expected['temperatures'])


def test_the_card_says_that_numbers_of_before_do_not_hold(own, exported):
  assert f'- {card.BEFORE}\n' in (own / release.CARD).read_text()
  assert card.BEFORE not in (exported / release.CARD).read_text()


def test_frames_without_a_label_are_nobody_calibrated_on(own):
  """Bands are of those whose labels a task has, not of all frames."""
  metadata = release.read_metadata(own)
  said = metadata['conformal']
  text = '\n'.join(guarantees.card_lines(metadata))
  assert 'calibrated on 12 images, each by itself, of the split' in text
  said['calibration'] |= {'frames': 400, 'subjects': 400}
  text = '\n'.join(guarantees.card_lines(metadata))
  assert '12 images, each by itself (of 400, with labels of `expr`)' in text
  assert '95% (needs 19 subjects: everything)' in text


def test_a_file_is_no_model(exported, tmp_path, capsys):
  file, out = exported / 'model.json', tmp_path / 'model'
  assert cli.main(['calibrate', str(file), '--out', str(out)]) == 1
  assert f'{file} is a file: name the folder' in capsys.readouterr().err


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
  def full(_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(writing.os, 'fsync', full)
  out = tmp_path / 'model'
  with pytest.raises(writing.ExportError, match=f'{out} cannot be written'):
    writing.write(out, {'a': b'1'})
  assert not list(tmp_path.iterdir())


def test_interrupted_it_says_so(exported, tmp_path, monkeypatch, capsys):
  def stop(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(recalibrating, 'recalibrate', stop)
  out = tmp_path / 'model'
  assert cli.main(['calibrate', str(exported), '--out', str(out)]) == 130
  assert capsys.readouterr().err == 'stopped; nothing was written\n'


def test_places_that_no_folder_can_take(tmp_path, monkeypatch):
  (tmp_path / 'link').symlink_to(tmp_path / 'nowhere')
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'other').symlink_to(tmp_path / 'empty')
  for name in ('link', 'other'):
    with pytest.raises(ExportError, match='not the name of a folder'):
      check_free(tmp_path / name)
  monkeypatch.chdir(tmp_path / 'empty')
  with pytest.raises(ExportError, match='not the name of a folder'):
    check_free(pathlib.Path('.'))


def test_calibrated_again_it_says_nothing_twice(own, tmp_path):
  again = recalibrating.recalibrate(own, tmp_path / 'again')
  found, first = (release.read_metadata(p)['notes'] for p in (again, own))
  assert [note.split(':')[0] for note in first[-2:]] == [
    'no temperatures of au', 'no temperatures of expr that mean something'
  ]  # fmt: skip
  kept = [n for n in found if not n.startswith('no temperatures of ')]
  assert kept == first[:-2]
  # Of units whose labels are few or all alike, by a network that learned nothing.
  assert all('that mean something: beyond' in n for n in {*found} - {*kept})
  said = release.read_metadata(again)['conformal']['calibration']
  assert 'notes' not in said
  assert (again / release.CARD).read_text().count(card.SECTION) == 1


def test_what_was_trained_on_promises_nothing(exported, faces, tmp_path):
  data = faces('fer2013', ('Training', 'PublicTest'))
  out = tmp_path / 'model'
  with pytest.raises(ExportError, match='was trained on the split train'):
    recalibrating.recalibrate(exported, out, split='train')
  with pytest.raises(ExportError, match='is fer2013, the model was trained on'):
    recalibrating.recalibrate(exported, out, str(data))
  with pytest.raises(ValueError, match='did you mean validation'):
    recalibrating.recalibrate(exported, out, str(data), 'validatoin')
  assert not out.exists()


def test_a_set_of_the_same_name_is_not_taken_for_the_models_own(
  copy,  # noqa: F811
  tmp_path,
):
  def calibrated(name):
    return release.read_metadata(
      recalibrating.recalibrate(copy, tmp_path / name, split='validation')
    )

  before = release.read_metadata(copy)['thresholds']['prevalence']
  own = calibrated('own')['conformal']['calibration']
  assert 'data' not in own
  changed = dict(zip(before['expr'], reversed(before['expr'].values())))
  assert changed != before['expr']
  forge(copy, put(('conformal', 'calibration', 'subjects'), 400))
  forge(copy, put(('thresholds', 'prevalence', 'expr'), changed))
  found = calibrated('other')
  said = found['conformal']['calibration']
  assert (said['data'], said['selected_on']) == ('embedded', True)
  assert guarantees.SAME_NAME in said['notes']
  assert found['thresholds']['prevalence']['expr'] == changed  # of the training


def test_another_validation_set_is_noticed(copy, tmp_path):  # noqa: F811
  forge(copy, put(('conformal', 'calibration', 'subjects'), 4))
  with pytest.raises(
    ExportError, match=r'of 3 subjects, that of the run had .* 4'
  ):
    recalibrating.recalibrate(copy, tmp_path / 'out')


def test_settings_of_no_use_are_one_line(copy, tmp_path, capsys):  # noqa: F811
  for path, value in (
    (('config', 'data'), {}),
    (('config', 'experiment'), 'x'),
    (('config',), 3),
  ):
    forge(copy, put(path, value))
    assert cli.main(['calibrate', str(copy), '--out', str(tmp_path / 'm')]) == 1
    said = capsys.readouterr().err
    assert said.startswith('error: model.json does not say with which settings')
    assert len(said.splitlines()) == 1
  assert cli.main(['calibrate', str(copy), '--out', str(copy)]) == 1
  assert 'exists already' in capsys.readouterr().err
  out = str(tmp_path / 'm')
  assert cli.main(['calibrate', str(tmp_path / 'no'), '--out', out]) == 1
  assert 'holds no exported model' in capsys.readouterr().err


def test_cards_that_are_no_text_are_named(copy, tmp_path):  # noqa: F811
  (copy / release.CARD).write_bytes(b'caf\xe9')
  with pytest.raises(ExportError, match=r'README\.md is no text in UTF-8'):
    recalibrating.recalibrate(copy, tmp_path / 'out')


def test_cards_keep_what_people_wrote(exported):
  metadata = json.loads((exported / release.METADATA).read_text())
  text = (exported / release.CARD).read_text()
  assert card.recalibrated(text, metadata) == text
  edited = text.replace('## Limits', '## Ours\n\nwords\n\n## Limits')
  edited = edited.replace(card.UNSURE, card.NO_UNSURE)
  edited = edited.replace(card.LOAD, "emojax.load('ferplus')")
  found = card.recalibrated(edited, metadata)
  assert '## Ours\n\nwords' in found
  assert f'model = {card.LOAD}\n' in found
  assert card.UNSURE in found
  assert found.index('- epistemic') < found.index('## Ours')
  alone = card.recalibrated('# Mine\n', metadata)
  assert alone.startswith(f'# Mine\n\n{card.SECTION}\n')
