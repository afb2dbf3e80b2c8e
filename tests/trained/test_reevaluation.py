"""Trained runs evaluated again: same numbers, other data, clear refusals."""

import io
import json
import re
import shutil

import numpy as np
import pytest
from rich.console import Console

from emojax import evaluate, experiments, export, tasks
from emojax.data import embedded, load
from emojax.data.clips import evaluation_sets
from emojax.evaluation import Predictions
from emojax.experiments.distillation import report
from emojax.trained import reevaluation, rescoring
from emojax.trained import run as runs


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


def request(path, *arguments):
  return evaluate.parse([f'--workdir={path}', *arguments])


def execute(path, *arguments):
  """What `main` does; returns (results, folder, printed text)."""
  console = Console(file=io.StringIO(), width=200)
  evaluation = reevaluation.prepare(request(path, *arguments))
  folder = rescoring.execute(evaluation, console)
  results = json.loads((folder / 'results.json').read_text())
  return results, folder, console.file.getvalue()


def test_own_test_split_gives_the_runs_numbers(run_path):
  found, folder, text = execute(run_path)
  expected = json.loads((run_path / 'results.json').read_text())
  assert folder == run_path / 'evaluations' / 'embedded-test'
  assert found['generations'] == expected['generations']
  assert found['optimum'] == expected['optimum']
  assert found['evaluation']['notes'] == []
  assert 'Table 1.' in text
  assert sorted(p.name for p in folder.iterdir()) == [
    '.lock',
    'config.json',
    'curves.json',
    'data.json',
    'figures',
    'predictions',
    'report.html',
    'report.md',
    'results.json',
  ]


def test_the_same_command_computes_nothing_again(run_path, monkeypatch):
  found, folder, _ = execute(run_path)
  monkeypatch.setattr(
    runs.TrainedRun, 'trainer', lambda *_: pytest.fail('computed again')
  )
  again, _, text = execute(run_path)
  assert 'is finished already' in text
  (folder / 'report.html').unlink()  # killed before the report was written
  again, _, _ = execute(run_path)
  assert again == found


@pytest.mark.slow
def test_a_damaged_file_of_the_evaluation_is_made_again(run_path):
  arguments = '--generations=Tea', '--mc-samples=0', '--ood=', '--name=damaged'
  found, folder, text = execute(run_path, *arguments)
  assert 'Tea: predicted' in text
  (folder / 'report.html').unlink()
  path = folder / 'predictions' / 'Tea.npz'
  path.write_bytes(path.read_bytes()[:3000])
  again, _, text = execute(run_path, *arguments)
  assert 'Tea.npz is damaged' in text
  assert again['generations'] == found['generations']


def test_fewer_members_are_rows_of_the_run(run_path):
  arguments = '--members=1', '--generations=Stu1', '--mc-samples=0'
  found, folder, _ = execute(run_path, *arguments, '--ood=', '--no-temperature')
  assert folder.name.startswith('embedded-test-')
  assert list(found['generations']) == ['Stu1']
  run = json.loads((run_path / 'results.json').read_text())
  expected = run['generations']['Stu1']['members'][1]
  students = found['generations']['Stu1']
  assert students['members'] == [pytest.approx(expected, abs=1e-5)]
  assert students['epochs'] == [run['generations']['Stu1']['epochs'][1]]
  assert students['ts'] is None
  assert students['mc'] is None
  assert students['ood'] == {}


@pytest.mark.slow
def test_other_embedded_data(run_path):
  arguments = '--config.data.seed=7', '--config.data.test_clips=9'
  found, folder, _ = execute(run_path, *arguments, '--mc-samples=0')
  assert found['num_frames'] == 18
  expected = json.loads((run_path / 'results.json').read_text())
  tea, there = (x['generations']['Tea'] for x in (found, expected))
  assert tea['single_mean'] != there['single_mean']
  # Temperatures are those of the run's own validation set all the same.
  assert tea['ts']['val']['temperatures'] == there['ts']['val']['temperatures']
  saved = Predictions.load(folder / 'predictions' / 'Tea.npz')
  assert saved.logits['test']['au'].shape == (2, 9, 2, 12)


@pytest.mark.slow
def test_own_validation_split_is_said_to_be_optimistic(run_path):
  found, _, text = execute(run_path, '--split=validation', '--mc-samples=0')
  assert found['split'] == 'val'
  assert found['generations']['Tea']['ts']['val'] is None
  assert 'epochs were selected on this split' in text


@pytest.mark.slow
def test_faces_with_fewer_classes_in_another_order(run_path, faces):
  path = faces('fer2013')
  found, folder, _ = execute(
    run_path, f'--data={path}', '--split=validation', '--mc-samples=0'
  )
  assert [task['name'] for task in found['schema']] == ['expr']
  assert found['schema'][0]['labels'] == list(tasks.AFFWILD2)
  assert found['labelled_frames'] == {'expr': 12}
  notes = found['evaluation']['notes']
  assert 'expr: classes were reordered by name' in notes
  saved = Predictions.load(folder / 'predictions' / 'Tea.npz')
  logits = saved.logits['test']['expr'][:, :, 0]
  true = tasks.reorder(tasks.FER2013, tasks.AFFWILD2)[np.arange(12) % 7]
  odds = np.exp(logits - logits.max(-1, keepdims=True))
  probs = (odds / odds.sum(-1, keepdims=True))[:, np.arange(12), true]
  nll = [m['expr/nll'] for m in found['generations']['Tea']['members']]
  np.testing.assert_allclose(nll, -np.log(probs + 1e-8).mean(-1), rtol=1e-4)


@pytest.mark.slow
def test_classes_that_the_run_does_not_know(run_path, faces):
  path = faces('ferplus', ('PublicTest', 'PrivateTest'))
  data = f'--data={path}', '--split=test', '--mc-samples=0'
  message = r'8 classes, among them contempt, .*--ignore-labels=contempt'
  with pytest.raises(ValueError, match=message):
    reevaluation.prepare(request(run_path, *data))
  found, _, _ = execute(run_path, *data, '--ignore-labels=contempt')
  assert found['labelled_frames'] == {'expr': 10}
  assert '2 frames of contempt were left out' in found['evaluation']['notes']


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--split=tset'], r"no split 'tset', it has .*did you mean test\?"),
    (['--generations=Stu2'], "no finished generation 'Stu2', only Tea, Stu1"),
    (['--members=0,2'], r'members \[0, 2\]: .*from 0 to 1'),
    (['--config.data.sede=1'], r'unknown setting data.sede; .*data.seed\?'),
    (['--config.data.seed=x'], 'data.seed=x: expected a value of type int'),
    (['--config.data.image_size=64'], r'is what the run was trained with \(32'),
    (['--config.model.width=1'], 'model.width was decided by the training'),
    (['--data=nowhere'], 'nowhere holds no finished data set'),
    (['--ood=digist'], "'digist': neither digits nor textures, nor a prepared"),
    (['--ignore-labels=joy'], "label 'joy' cannot be ignored"),
  ],
)
def test_requests_that_cannot_be_met(run_path, arguments, message):
  with pytest.raises(ValueError, match=message):
    reevaluation.prepare(request(run_path, *arguments))


def test_split_that_is_not_in_the_files(run_path, faces):
  path = faces('fer2013')
  message = r"no split 'test', it has validation"
  with pytest.raises(ValueError, match=message):
    reevaluation.prepare(request(run_path, f'--data={path}', '--split=test'))


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['--splt=test'], 'did you mean --split?'),
    (['--mc-samples=-1'], 'expected at least 0'),
    (['--members=a'], "'a': expected numbers from 0"),
    (['--generations='], 'expected at least one name'),
  ],
)
def test_wrong_arguments(capsys, arguments, message):
  with pytest.raises(SystemExit):
    request('run', *arguments)
  assert message in capsys.readouterr().err


def test_settings_may_be_parted_by_a_blank():
  found = request('run', '--config.data.seed', '7', '--split', 'test')
  assert found.overrides == ('data.seed=7',)
  assert found.split == 'test'


def test_folders_that_are_no_runs(run_path, tmp_path):
  with pytest.raises(runs.RunError, match=r'no folder .*did you mean .*run\?'):
    runs.open_run(run_path.with_name('rum'))
  with pytest.raises(runs.RunError, match='not the folder of a run'):
    runs.open_run(tmp_path)
  (tmp_path / 'variants' / 'a').mkdir(parents=True)
  with pytest.raises(runs.RunError, match='a study of several runs: name one'):
    runs.open_run(tmp_path)


def test_run_that_goes_on_is_evaluated_so_far(run_path, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(run_path, path)
  (path / 'predictions' / 'Stu1.npz').unlink()
  (path / 'results.json').unlink()
  shutil.rmtree(path / 'evaluations', ignore_errors=True)
  found, folder, _ = execute(path, '--mc-samples=0', '--ood=')
  assert found['names'] == ['Tea']
  assert folder.name != 'embedded-test'  # which is for the finished run
  (path / 'predictions' / 'Tea.npz').unlink()
  with pytest.raises(runs.RunError, match='no finished generation yet'):
    runs.open_run(path)


def test_damaged_predictions_are_named(run_path, tmp_path):
  path = tmp_path / 'run'
  shutil.copytree(run_path, path)
  target = path / 'predictions' / 'Tea.npz'
  data = target.read_bytes()
  flipped = bytearray(data)
  flipped[len(data) // 2] ^= 1
  for damaged in (b'PK', b'', data[:-100], flipped):
    target.write_bytes(damaged)
    with pytest.raises(runs.RunError, match=r'Tea\.npz is damaged') as error:
      runs.open_run(path).predictions('Tea')
    assert 'delete' not in str(error.value)


WHOLE = [
  {'labels': np.zeros(3)},
  {'header': np.array('{}')},
  {'header': np.array('[')},
  {'header': np.array('[' * 100_000)},
  {'header': np.array(json.dumps({'schema': [{}], 'epochs': [1]}))},
  {'header': np.array(json.dumps({'schema': 3, 'epochs': 4}))},
  {'header': np.array([None])},
]


@pytest.mark.parametrize('arrays', WHOLE)
def test_whole_files_are_not_called_damaged(run_path, tmp_path, arrays):
  path = tmp_path / 'run'
  shutil.copytree(run_path, path)
  np.savez(path / 'predictions' / 'Tea.npz', **arrays)
  with pytest.raises(runs.RunError, match=r'Tea\.npz is whole, but') as error:
    runs.open_run(path)
  text = str(error.value)
  assert not any(word in text for word in ('damaged', 'delete', 'move'))
  assert '\n' not in text


@pytest.mark.parametrize(
  'name',
  sorted({*experiments.EXPERIMENTS, 'of tomorrow'} - {'distillation', 'study'}),
)
def test_runs_that_cannot_be_opened_are_refused(tmp_path, capsys, name):
  path = tmp_path / 'run'
  (path / 'predictions').mkdir(parents=True)
  (path / 'checkpoints' / 'baseline').mkdir(parents=True)
  np.savez(path / 'predictions' / 'baseline.npz', clean=np.zeros(3))
  stored = {'config': {'experiment': name, 'data': {}}, 'environment': {}}
  (path / 'config.json').write_text(json.dumps(stored))
  message = rf'config\.json lacks what runs of {name!r} have'
  if name not in experiments.TRAINED:
    message = (
      rf'of the experiment {name!r}: .* not supported, only for runs of '
    )
  with pytest.raises(runs.RunError, match=message):
    runs.open_run(path)
  assert export.main([f'--workdir={path}', f'--out={tmp_path / "out"}']) == 1
  assert re.search(message, capsys.readouterr().err)
  with pytest.raises(runs.RunError, match=message):
    reevaluation.prepare(request(path))
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('text', ['', '[]', '{}', '[' * 100_000, '{"a": 1}'])
def test_results_that_are_damaged(run_path, tmp_path, text):
  path = tmp_path / 'run'
  shutil.copytree(run_path, path)
  (path / 'results.json').write_text(text)
  with pytest.raises(runs.RunError, match=r'results\.json cannot be read'):
    runs.open_run(path).results()
  (path / 'config.json').write_text(text)
  with pytest.raises(runs.RunError, match='not the folder of a run of emojax'):
    runs.open_run(path)


def test_others_files_are_not_touched(run_path, tmp_path):
  mine = tmp_path / 'notes.txt'
  mine.write_text('mine')
  with pytest.raises(ValueError, match='choose a new or an empty folder'):
    execute(run_path, f'--out={tmp_path}')
  assert [p.name for p in tmp_path.iterdir()] == ['notes.txt']
  other, first = tmp_path / 'a', ('--mc-samples=0', '--ood=')
  execute(run_path, f'--out={other}', '--no-temperature', *first)
  before = {p: p.read_bytes() for p in other.rglob('*') if p.is_file()}
  with pytest.raises(ValueError, match='Choose another --out or --name'):
    execute(run_path, f'--out={other}', '--members=0', *first)
  assert before == {p: p.read_bytes() for p in other.rglob('*') if p.is_file()}


@pytest.mark.slow
def test_without_the_runs_data_there_is_a_note(run_path, monkeypatch):
  def gone(data, split):
    if split == 'val':
      raise FileNotFoundError('the disk is elsewhere')
    return opened(data, split)

  opened = evaluation_sets.open_split
  monkeypatch.setattr(evaluation_sets, 'open_split', gone)
  found, _, _ = execute(run_path, '--name=gone', '--mc-samples=0', '--ood=')
  assert found['generations']['Tea']['ts']['val'] is None
  assert found['generations']['Tea']['ts']['test_time'] is not None
  assert 'the disk is elsewhere' in found['evaluation']['notes'][0]


def old_run(run_path, path):
  """A copy of the run as versions without priors.json left it."""
  shutil.copytree(run_path, path)
  (path / 'priors.json').unlink()
  shutil.rmtree(path / 'evaluations', ignore_errors=True)
  return path


SHORT = '--generations=Tea', '--mc-samples=0', '--ood=', '--no-temperature'


@pytest.mark.slow
def test_runs_without_stored_weights_are_corrected_by_their_data(
  run_path, tmp_path, monkeypatch
):
  path = old_run(run_path, tmp_path / 'run')
  found, _, _ = execute(path, *SHORT)
  expected = json.loads((run_path / 'results.json').read_text())
  ours, theirs = (x['generations']['Tea']['pc'] for x in (found, expected))
  assert ours['log_weights'] == theirs['log_weights']
  assert ours['mean'] == pytest.approx(theirs['mean'], abs=1e-5)

  def gone(data):
    raise FileNotFoundError('the disk is elsewhere')

  monkeypatch.setattr(load, 'from_config', gone)
  found, folder, _ = execute(path, *SHORT, '--name=gone')
  assert found['generations']['Tea']['pc'] is None
  (note,) = found['evaluation']['notes']
  assert note.startswith('no prior correction (PC): ')
  assert 'the disk is elsewhere' in note
  assert 'no prior correction' in (folder / 'report.md').read_text()


def test_training_data_that_have_changed_tell_no_weights(
  run_path, tmp_path, monkeypatch
):
  path = old_run(run_path, tmp_path / 'run')
  real = load.from_config

  def changed(data):
    dataset = real(data)
    value = dataset.train.targets['au'].value
    value[0, 0, 0] = 1 - value[0, 0, 0]
    return dataset

  monkeypatch.setattr(load, 'from_config', changed)
  with pytest.raises(runs.UnknownPriorError, match='labels of au'):
    runs.open_run(path).priors()


def test_weights_that_are_damaged_stop_the_evaluation(run_path, tmp_path):
  path = old_run(run_path, tmp_path / 'run')
  (path / 'priors.json').write_text('{}')
  with pytest.raises(runs.RunError, match=r'priors\.json cannot be used'):
    execute(path, *SHORT)
  assert not (path / 'evaluations').exists()


def test_fewer_classes_are_corrected_by_their_weights(run_path, faces):
  """Of data that have some of the labels, in another order."""
  path = faces('fer2013')
  arguments = f'--data={path}', '--split=validation', '--mc-samples=0'
  found, _, _ = execute(run_path, *arguments)
  there = json.loads((run_path / 'results.json').read_text())
  ours, theirs = (
    x['generations']['Stu1']['pc']['log_weights'] for x in (found, there)
  )
  assert list(ours) == ['expr']
  assert ours['expr'] == theirs['expr']


def test_embedded_splits_are_those_of_the_data_set(run_path):
  data = runs.open_run(run_path).config.data
  whole = load.from_config(data)
  for name in ('val', 'test'):
    clips = evaluation_sets.open_split(data, name).clips
    expected = getattr(whole, name)
    np.testing.assert_array_equal(clips.image, expected.image)
    np.testing.assert_array_equal(
      clips.targets['expr'].value, expected.targets['expr'].value
    )
    assert clips.clip_id.tolist() == expected.clip_id.tolist()
  assert set(embedded.ood.KINDS) == set(load.OOD)


def other_labels(monkeypatch):
  """A version of emojax that draws another label."""
  make = embedded.make_clips

  def changed(*arguments, **options):
    clips = make(*arguments, **options)
    clips.targets['au'].value[0, 0, 0] = 1 - clips.targets['au'].value[0, 0, 0]
    return clips

  monkeypatch.setattr(evaluation_sets.embedded, 'make_clips', changed)


def test_embedded_data_that_are_drawn_otherwise(run_path, monkeypatch):
  other_labels(monkeypatch)
  with pytest.raises(runs.RunError, match=r'(?s)have changed.*labels of au'):
    reevaluation.prepare(request(run_path))
  # Other data on purpose are nobody's business.
  reevaluation.prepare(request(run_path, '--config.data.seed=7'))


@pytest.mark.slow
def test_an_evaluation_goes_on_with_its_data_only(run_path, monkeypatch):
  """Logits that are stored are not scored against other labels."""
  arguments = '--config.data.seed=9', '--mc-samples=0', '--ood='
  _, folder, _ = execute(run_path, *arguments)
  (folder / 'report.html').unlink()
  kept = (folder / 'predictions' / 'Tea.npz').read_bytes()
  other_labels(monkeypatch)
  with pytest.raises(ValueError, match=r'(?s)test: labels of au.*--out or --n'):
    execute(run_path, *arguments)
  assert (folder / 'predictions' / 'Tea.npz').read_bytes() == kept


def test_report_names_where_the_models_come_from(run_path):
  _, folder, _ = execute(run_path)
  text = (folder / 'report.md').read_text()
  assert 'run' in text
  assert report.write(folder) == folder / 'report.html'


def test_other_settings_are_another_evaluation(run_path):
  folders = {
    reevaluation.prepare(request(run_path, *asked)).folder().name
    for asked in (
      (),
      ('--config.eval.floor=0.5',),
      ('--config.eval.floor=0.9',),
      ('--config.runtime.precision=high',),
    )
  }
  assert len(folders) == 4
  found = reevaluation.prepare(request(run_path))
  assert 'other' not in found.description()  # as evaluations of before
  assert not found.refitted()
  asked = request(run_path, '--config.runtime.precision=high')
  assert reevaluation.prepare(asked).refitted()


def test_clips_of_other_splits_make_no_other_data(run_path, monkeypatch):
  asked = '--split=val', '--config.data.test_clips=41'
  found = reevaluation.prepare(request(run_path, *asked))
  assert found.key == 'val'
  assert any('epochs were selected on this' in note for note in found.notes)
  fewer = reevaluation.prepare(
    request(run_path, '--split=val', '--config.data.val_clips=2')
  )
  assert fewer.key == 'test'
