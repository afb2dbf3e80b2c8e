"""Whole runs on a prepared data set: from disk, without known posteriors."""

import functools
import io
import json
import shutil

import numpy as np
import pytest
import run_files
import small_run
import trees
from rich.console import Console
from stored import SETTINGS as SETTINGS_OF_STORE

from emojax import evaluate, models, tasks
from emojax.data import load
from emojax.data.clips import evaluation_sets, pipeline
from emojax.data.prepare import command as prepare
from emojax.data.store import stored
from emojax.engine import programs, sources
from emojax.evaluation import Predictions
from emojax.experiments.distillation import contents
from emojax.experiments.distillation import run as distillation
from emojax.runtime import provenance, workdir
from emojax.trained import reevaluation
from emojax.trained import run as runs

pytestmark = pytest.mark.slow

SETTINGS = {
  'data__name': 'prepared',
  'data__image_size': 32,
  'data__clip_length': 4,
  'data__eval_clip_length': 8,
  'data__audio': True,
  'data__ood_clips': 4,
  'generations': 1,
  'train__epochs': 2,
  'train__max_steps': 3,
  'train__augment': 'emenet',
  'runtime__stream_steps': 2,
  'runtime__predict_clips': 2,
}


def listening(**given):
  """The small network, with sound."""
  return small_run.small(**given).clone(audio=True)


@pytest.fixture(scope='module', autouse=True)
def small_and_quick(users_programs):
  """A small network whose programs are compiled once for all runs."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(models.MODELS, 'small', listening)
    make = distillation.method_from_config
    made = {}
    patch.setattr(
      distillation,
      'method_from_config',
      lambda c, d, mesh: made.setdefault(mesh, make(c, d, mesh)),
    )
    for name in ('init', 'steps', 'finish', 'predict', 'sample'):
      program = functools.cache(getattr(programs, f'{name}_program'))
      patch.setattr(programs, f'{name}_program', program)
    patch.setattr(sources, 'BLOCK_BYTES', 1)  # blocks of two clips
    yield


def execute(path, store, **changes):
  """What `main` does; returns the results."""
  settings = SETTINGS | {'data__path': str(store)} | changes
  config = small_run.config(**settings)
  folder = workdir.Workdir(path, config.to_dict())
  folder.open()
  return distillation.run(config, folder, Console(file=io.StringIO()))


@pytest.fixture
def only_the_example(monkeypatch):
  """No figures but the one that reads clips."""
  figures = contents.figures

  def some(run):
    return [figure for figure in figures(run) if figure[0] == 'example']

  monkeypatch.setattr(contents, 'figures', some)


@pytest.fixture(scope='module')
def from_disk(affwild2_store, tmp_path_factory):
  """(folder, results, number of clips of every reading) of a streamed run."""
  path, takes = tmp_path_factory.mktemp('run') / 'disk', []
  take = stored.StoredClips.take

  def counted(self, indices):
    takes.append(len(np.arange(len(self))[indices]))
    return take(self, indices)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(stored.StoredClips, 'take', counted)
    results = execute(path, affwild2_store, data__memory_gib=0.0)
  return path, results, takes


def test_a_run_ends_with_a_report(from_disk, affwild2_store):
  path, results, _ = from_disk
  table = stored.Store(affwild2_store).table('validation')
  assert (results['split'], results['modality']) == ('val', 'VA')
  assert results['num_frames'] == len(table)
  assert results['labelled_frames'] == {
    name: int(target.mask.reshape(len(table), -1).any(1).sum())
    for name, target in table.targets.items()
  }
  assert results['optimum'] is None
  assert results == json.loads((path / 'results.json').read_text())
  figures = {file.stem for file in (path / 'figures').iterdir()}
  assert {'example', 'reliability_single', 'ood_roc', 'training'} <= figures
  assert not {'excess', 'entropy'} & figures
  assert 'src="data:image/png' in (path / 'report.html').read_text()


def test_one_split_for_two_purposes_is_predicted_once(from_disk):
  path, results, _ = from_disk
  tea = Predictions.load(path / 'predictions' / 'Tea.npz')
  ood = {'ood/digits', 'ood/textures'}
  assert set(tea.logits) == set(tea.mc) == {'val'} | ood
  generation = results['generations']['Tea']
  assert set(generation['ood']) == {'digits', 'textures'}
  assert 'mc/epistemic' in generation['ood']['digits']
  # Temperatures must not be fitted on the frames that they are scored on.
  assert generation['ts']['val'] is None
  assert generation['ts']['test_time']['mean']['expr/nll'] > 0


def test_clips_are_read_a_few_at_a_time(from_disk):
  _, _, takes = from_disk
  batch = 3 * small_run.config().train.clips_per_task
  assert len(takes) > 40
  assert max(takes) == 2 * 2 * batch  # two members, two steps


# 0: all clips on the device, and all steps of an epoch in one program.
@pytest.mark.parametrize(
  'stream_steps', [2, pytest.param(0, marks=pytest.mark.slow)]
)
def test_from_memory_it_is_the_same_run(
  from_disk, affwild2_store, tmp_path, only_the_example, stream_steps
):
  path, _, _ = from_disk
  changes = {'data__memory_gib': 1.0, 'runtime__stream_steps': stream_steps}
  execute(tmp_path / 'memory', affwild2_store, **changes)
  run_files.assert_same_run(tmp_path / 'memory', path)


class KilledError(BaseException):
  """Stands for kill -9: nothing in the package catches it."""


@pytest.mark.parametrize('epochs', [1, 3])
def test_killed_and_resumed_it_is_the_same_run(
  from_disk, affwild2_store, tmp_path, only_the_example, epochs
):
  """The teachers or the students die in the middle of an epoch from disk."""
  steps, take = [], stored.StoredClips.take

  def dying(self, indices):
    rows = len(np.arange(len(self))[indices])
    steps.append(rows == 2 * 2 * 3 * small_run.config().train.clips_per_task)
    if sum(steps) == 2 * epochs:  # two readings an epoch
      raise KilledError
    return take(self, indices)

  changes = {'data__memory_gib': 0.0}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(stored.StoredClips, 'take', dying)
    with pytest.raises(KilledError):
      execute(tmp_path / 'run', affwild2_store, **changes)
  execute(tmp_path / 'run', affwild2_store, **changes)
  run_files.assert_same_run(tmp_path / 'run', from_disk[0])


def test_a_test_split_without_labels(
  affwild2_store, tmp_path, only_the_example
):
  """It is predicted; scores, dropout passes and examples are of the other."""
  path = tmp_path / 'run'
  changes = {'data__test_split': 'test', 'generations': 0}
  results = execute(path, affwild2_store, **changes)
  assert results['split'] == 'val'
  tea = Predictions.load(path / 'predictions' / 'Tea.npz')
  assert {'val', 'test'} <= set(tea.logits)
  assert 'val' in tea.mc
  assert 'test' not in tea.mc
  assert (path / 'figures' / 'example.png').exists()
  assert results['generations']['Tea']['mc']['passes'] == 2


@pytest.fixture(scope='module')
def relabelled(affwild2_tree, tmp_path_factory):
  """The same data set prepared after one label of validation was mended."""
  root = tmp_path_factory.mktemp('relabelled')
  tree = shutil.copytree(affwild2_tree, root / 'tree')
  path = sorted((tree / 'AU_Set' / 'Validation_Set').iterdir())[0]
  header, row, *rows = path.read_text().split('\n')
  row = ','.join([str(1 - int(row[0])), *row.split(',')[1:]])
  path.write_text('\n'.join([header, row, *rows]))
  return prepare.prepare('affwild2', tree, root / 'out', **SETTINGS_OF_STORE)


def moved_run(run, to, store):
  """A copy of a run that says that its data are in another folder."""
  shutil.copytree(run, to)
  stored_config = json.loads((to / 'config.json').read_text())
  stored_config['config']['data']['path'] = str(store)
  (to / 'config.json').write_text(json.dumps(stored_config))
  return to


def _contents(folder):
  return {
    path.relative_to(folder): path.read_bytes()
    for path in folder.rglob('*')
    if path.is_file()
  }


def test_a_run_does_not_go_on_with_other_data(from_disk, relabelled, tmp_path):
  path = moved_run(from_disk[0], tmp_path / 'run', relabelled)
  (path / 'predictions' / 'Stu1.npz').unlink()
  (path / 'report.html').unlink()
  before = _contents(path)
  with pytest.raises(provenance.DataChangedError) as caught:
    execute(path, relabelled, data__memory_gib=0.0)
  text = str(caught.value)
  assert 'val: labels of au, labels or names' in text
  assert 'train' not in text
  assert _contents(path) == before


def asked(path, *arguments):
  return reevaluation.prepare(evaluate.parse([f'--workdir={path}', *arguments]))


def test_a_run_is_not_evaluated_on_other_data(from_disk, relabelled, tmp_path):
  path = moved_run(from_disk[0], tmp_path / 'run', relabelled)
  with pytest.raises(
    runs.RunError, match=r'(?s)changed.*labels or names.*--data'
  ):
    asked(path)
  named = asked(path, f'--data={relabelled}')
  assert 'the data have changed since' in ' '.join(named.notes)
  assert (
    asked(path, '--split=train').notes[-1].startswith('the run was trained')
  )
  with pytest.raises(runs.RunError, match='val: labels of au'):
    runs.open_run(path).validation()


def test_data_may_move(from_disk, affwild2_store, tmp_path):
  """They are known by what they are, not by where."""
  elsewhere = shutil.copytree(affwild2_store, tmp_path / 'elsewhere')
  found = asked(from_disk[0], f'--data={elsewhere}')
  assert found.key == 'val'
  assert found.notes == asked(from_disk[0]).notes
  assert 'epochs were selected on this split' in found.notes[0]


def test_older_runs_are_evaluated_with_a_note(
  from_disk, affwild2_store, tmp_path
):
  path = moved_run(from_disk[0], tmp_path / 'run', affwild2_store)
  (path / provenance.FILE).unlink()
  assert provenance.OLD in asked(path).notes


def test_foreign_data_that_changed(from_disk, affwild2_store, tmp_path):
  """Out-of-distribution sets are part of the data, too."""
  path = moved_run(from_disk[0], tmp_path / 'run', affwild2_store)
  stored_config = json.loads((path / 'config.json').read_text())
  stored_config['config']['data']['ood_path'] = str(affwild2_store)
  (path / 'config.json').write_text(json.dumps(stored_config))
  kept = json.loads((path / provenance.FILE).read_text())
  origin = stored.Store(affwild2_store)
  origin = origin.origin('test', origin.table('test'))._asdict()
  one = {**kept['sets']['ood/digits'], 'origins': [origin]}
  kept['sets']['ood/affwild2'] = one
  (path / provenance.FILE).write_text(json.dumps(kept))
  asked(path)
  one['origins'][0]['table'] = '0' * 64
  (path / provenance.FILE).write_text(json.dumps(kept))
  with pytest.raises(runs.RunError, match=r'out-of-distribution set .*changed'):
    asked(path)
  asked(path, '--ood=digits')


def data_config(**changes):
  return small_run.config(**SETTINGS | changes).data


def test_windows_by_configuration(affwild2_store):
  path = str(affwild2_store)
  changes = {'data__path': path, 'data__audio': False}
  usual = load.from_config(data_config(**changes))
  changes |= {'data__stride': 2, 'data__tail': 'end', 'data__gaps': 'discard'}
  made = load.from_config(data_config(**changes, data__eval_tail='drop'))
  options = {'clip_length': 4, 'channels': 3, 'audio': False}
  expected = pipeline.open_clips(
    path, 'train', stride=2, tail='end', gaps='discard', **options
  )
  assert made.train.clip_id.tolist() == expected.clip_id.tolist()
  assert len(made.train) > len(usual.train)
  assert made.val.frame_mask.all()
  assert made.val.num_frames < usual.val.num_frames == 50
  # What is evaluated later is what the run has scored.
  for tail, gaps in (('pad', 'jump'), ('drop', 'discard'), ('pad', 'split')):
    data = data_config(**changes | {'data__gaps': gaps}, data__eval_tail=tail)
    scored = load.from_config(data).val
    again = evaluation_sets.open_split(data, 'validation').clips
    assert again.clip_id.tolist() == scored.clip_id.tolist()
    np.testing.assert_array_equal(again.frame_mask, scored.frame_mask)
  with pytest.raises(ValueError, match=r"eval_tail 'end'.*count frames twice"):
    load.from_config(data_config(**changes, data__eval_tail='end'))


def test_a_subset_without_videos(affwild2_tree, tmp_path):
  """It is said when preparing, and before a run reads any image."""
  tree = shutil.copytree(affwild2_tree, tmp_path / 'tree')
  for path in (tree / 'AU_Set' / 'Train_Set').iterdir():
    shutil.rmtree(tree / 'cropped_aligned' / path.stem, ignore_errors=True)
  out = prepare.prepare(
    'affwild2', tree, tmp_path / 'out', size=32, audio=None, workers=1
  )
  text = (out / 'summary.txt').read_text()
  assert 'NO LABELS of au in the training split' in text
  with pytest.raises(ValueError, match=r'no training image has a label of au;'):
    load.from_config(data_config(data__path=str(out), data__audio=False))


def test_a_validation_split_without_labels(tmp_path):
  """The first epoch would be the best one, whatever is learned."""
  tree, names = trees.Tree('folder', tmp_path / 'tree'), ('train', 'validation')
  rows = ['path,expression,split']
  for split in names:
    for i in range(4):
      tree.image(f'{split}{i}.png', 20 * i, (32, 32))
      label = ('anger', 'fear')[i % 2] if split == 'train' else ''
      rows.append(f'{split}{i}.png,{label},{split}')
  tree.text('labels.csv', *rows)
  out = prepare.prepare(
    'folder', tree.root, tmp_path / 'out', size=32, workers=1,
    options={'unlabelled': True},
  )  # fmt: skip
  settings = {'data__path': str(out), 'data__audio': False}
  settings |= {'data__clip_length': 1, 'data__eval_clip_length': 1}
  with pytest.raises(ValueError, match=r"val_split='validation'.*has a label"):
    load.from_config(data_config(**settings))


def test_sound_is_read_only_if_asked_for(affwild2_store, tmp_path):
  path = str(affwild2_store)
  data = load.from_config(data_config(data__path=path))
  assert data.train.audio.shape[2:] == (64, 64)
  assert data.test is data.val
  silent = load.from_config(data_config(data__path=path, data__audio=False))
  for clips in (silent.train, silent.val, *silent.ood.values()):
    assert not clips.has_audio
  np.testing.assert_array_equal(silent.train.image, data.train.image)
  raf = prepare.prepare(
    'rafdb', trees.rafdb(tmp_path / 'raf').root, tmp_path / 'a', workers=1
  )
  with pytest.raises(ValueError, match='has no sound: prepare it with'):
    load.from_config(data_config(data__path=str(raf)))
  with pytest.raises(ValueError, match='same --audio'):
    load.from_config(data_config(data__path=path, data__ood_path=str(raf)))


def test_foreign_stills_are_clips_of_one_frame(affwild2_store, tmp_path):
  tree = trees.ferplus(tmp_path / 'fer')
  fer = prepare.prepare('ferplus', tree.root, tmp_path / 'a', workers=1)
  data = pipeline.load_dataset(
    affwild2_store,
    windows=pipeline.Windows(clip_length=8),
    inputs=pipeline.Inputs(audio=False),
    ood={'fer': fer},
  )
  foreign = data.ood['fer']
  assert foreign.image.shape[1:] == (1, 32, 32, 3)
  foreign.check(tasks.ABAW2021)
