"""configs/ferplus.py: one task, stills, votes, several foreign sets."""

import io
import json
import pathlib
import runpy
import shutil

import numpy as np
import pytest
import small_run
import trees
from rich.console import Console

from benchmarks import (
  cifar10h,
  exchange_page,
  exchange_rate,
  ferplus_controls,
  vote_scores,
)
from emojax import models
from emojax.data import load
from emojax.data.prepare import command as prepare
from emojax.data.transform.augment import augmentation
from emojax.evaluation import Predictions, judge
from emojax.experiments.distillation import run as distillation
from emojax.runtime import workdir

PATH = pathlib.Path(small_run.ROOT) / 'configs' / 'ferplus.py'
get_config = runpy.run_path(str(PATH))['get_config']
EMOTIONS = 'neutral,happiness,surprise,sadness,anger,disgust,fear,contempt'


def make_ferplus(root):
  """Files of 48 training faces and 24 of PublicTest, every third undecided."""
  rng = np.random.default_rng(0)
  root.mkdir()
  faces, ballots = ['emotion,pixels,Usage'], []
  for i in range(72):
    split = 'Training' if i < 48 else 'PublicTest'
    pixels = ' '.join(map(str, rng.integers(0, 256, 2304)))
    faces.append(f'0,{pixels},{split}')
    votes = np.zeros(10, int)
    votes[i % 8] += 5 if i % 3 == 0 else 8
    votes[(i + 1) % 8] += 5 if i % 3 == 0 else 2
    names = ','.join(map(str, votes))
    ballots.append(f'{split},fer{i:07d}.png,{names}')
  header = f'Usage,Image name,{EMOTIONS},unknown,NF'
  (root / 'fer2013.csv').write_text('\n'.join(faces))
  (root / 'fer2013new.csv').write_text('\n'.join([header, *ballots]))
  return root


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Prepared faces, and two foreign sets: grey and in colour."""
  root = tmp_path_factory.mktemp('sets')
  options = {'unlabelled': 'true', 'duplicates': 'drop_training'}
  prepare.prepare(
    'ferplus',
    make_ferplus(root / 'fer'),
    root / 'ferplus',
    size=48,
    workers=1,
    options=options,
  )
  tree = trees.rafdb(root / 'raf')
  for name, channels in (('grey', 1), ('colour', 3)):
    prepare.prepare(
      'rafdb',
      tree.root,
      root / name,
      size=48,
      channels=channels,
      workers=1,
      options=tree.options,
    )
  return root


def small_config(folder, **changes):
  config = get_config('tiny')
  settings = {
    'model.name': 'small',
    'data.path': str(folder / 'ferplus'),
    'data.ood_path': str(folder / 'grey'),
    'data.ood_limit': 3,
    'data.ood_clips': 5,
    'data.val_fraction': 0.25,
    'train.clips_per_task': 4,
    'runtime.predict_clips': 4,
  }
  config.update_from_flattened_dict(settings | changes)
  return config


def test_presets():
  assert get_config().to_dict() == get_config('votes').to_dict()
  assert get_config().data.clip_length == 1
  assert not get_config().loss.reweight
  augmentation(get_config().train.augment, get_config().train.augment_per)
  with pytest.raises(ValueError, match="no preset 'big'; it has votes, multi"):
    get_config('big')


def test_data(folder):
  dataset = load.from_config(small_config(folder).data).check()
  # Two thirds of 48 have a majority; a quarter of these is for validation.
  assert [len(dataset.train), len(dataset.val)] == [24, 8]
  assert len(dataset.test) == 24
  assert dataset.test.targets['expr'].mask.sum() == 16
  assert dataset.test.votes.shape == (24, 1, 10)
  assert {k: len(v) for k, v in dataset.ood.items()} == {
    'digits': 5,
    'textures': 5,
    'rafdb': 3,
  }
  for clips in (dataset.test, *dataset.ood.values()):
    assert clips.image.shape[1:] == (1, 32, 32, 3)
    np.testing.assert_array_equal(clips.image[..., 0], clips.image[..., 2])


def test_students_learn_from_faces_without_a_majority(folder, tmp_path):
  out = tmp_path / 'all'
  options = {'unlabelled_train': 'true', 'unlabelled': 'true'}
  source = folder / 'fer'
  prepare.prepare('ferplus', source, out, size=48, workers=1, options=options)
  settings = {'data.path': str(out), 'data.ood_path': ''}
  alone = small_config(folder, **settings, **{'data.unlabelled_train': False})
  few = load.from_config(alone.data)
  config = small_config(folder, **settings)
  dataset = load.from_config(config.data).check()
  assert (len(few.train), len(dataset.train)) == (24, 40)
  mask = dataset.train.targets['expr'].mask[:, 0]
  assert mask.sum() == 24
  make = distillation.generations_from_config(config, dataset)
  teachers = make(0, None)
  np.testing.assert_array_equal(teachers.groups[0], np.flatnonzero(mask))
  soft = {'expr': np.full((40, 1, 8), 1 / 8, np.float32)}
  students = make(1, soft)
  np.testing.assert_array_equal(students.groups[0], np.arange(40))
  assert students.targets['expr'].mask.all()


def test_label_smoothing_is_of_teachers_labels(folder):
  config = small_config(folder, **{'loss.label_smoothing': 0.2})
  dataset = load.from_config(config.data)
  make = distillation.generations_from_config(config, dataset)
  value = make(0, None).targets['expr'].value
  np.testing.assert_allclose(
    np.unique(value.round(5)), [0.2 / 8, 1 - 0.2 * 7 / 8], rtol=1e-4
  )
  soft = {'expr': np.full((len(dataset.train), 1, 8), 1 / 8, np.float32)}
  np.testing.assert_array_equal(
    make(1, soft).targets['expr'].value, soft['expr']
  )


def test_foreign_sets_that_would_be_unfair(folder):
  config = small_config(folder, **{'data.ood_path': str(folder / 'colour')})
  with pytest.raises(ValueError, match=r'colour alone.*--channels 1'):
    load.from_config(config.data)
  twice = f'{folder / "grey"}, {folder / "grey"}'
  config = small_config(folder, **{'data.ood_path': twice})
  with pytest.raises(ValueError, match='names a data set twice'):
    load.from_config(config.data)


@pytest.mark.slow
def test_a_run_is_judged_by_votes(folder, tmp_path, monkeypatch):
  monkeypatch.setitem(models.MODELS, 'small', small_run.small)
  monkeypatch.setattr(judge, 'REPLICATES', 20)
  config = small_config(folder)
  run = workdir.Workdir(tmp_path / 'run', config.to_dict())
  run.open()
  console = Console(file=io.StringIO(), width=200)
  results = distillation.run(config, run, console)
  found = json.loads((run / 'results.json').read_text())['votes']
  assert (found['faces'], found['labelled']) == (24, 16)
  assert 'Stu1 ensemble' in found['rows']
  row = found['rows']['Tea single + MC dropout']['mean']
  assert {'ood/digits/epistemic', 'ood/rafdb/total'} <= set(row)
  assert results['labelled_frames'] == {'expr': 16}
  tea = Predictions.load(run / 'predictions' / 'Tea.npz')
  assert tea.logits['test']['expr'].shape == (2, 24, 1, 8)
  text = (run / 'report.md').read_text()
  assert "## Against the annotators' votes" in text
  assert 'Students less teachers' in console.file.getvalue()
  check_scores(run.path, found)
  check_reports(run.path, tmp_path)


def check_scores(path, found):
  """What benchmarks make of the run's files is what the run says itself."""
  read = vote_scores.read(path)
  scorer = vote_scores.Scorer(read.test.share, read.label, replicates=3)
  for name in ('Tea', 'Stu1'):
    for scaled, suffix in (
      ('', ''), ('votes', ' + TS on votes'), ('labels', ' + TS'),
    ):  # fmt: skip
      probs = read.probabilities(name, scaled)
      for kind, score in (
        ('single', scorer.singles), ('ensemble', scorer.ensemble)
      ):  # fmt: skip
        mean = found['rows'][f'{name} {kind}{suffix}']['mean']
        for column, key in (
          (vote_scores.KL, 'vote/kl'), (vote_scores.ACCURACY, 'hard/acc'),
          (vote_scores.NLL, 'hard/nll'),
          (vote_scores.SPEARMAN, 'vote/spearman/total'),
        ):  # fmt: skip
          right = pytest.approx(mean[key], abs=1e-6)
          assert score(probs)[column][0] == right, (name, kind, key)
  mean = found['rows']['Tea single + MC dropout']['mean']
  passes = scorer.singles(read.sampled('Tea'))
  assert passes[vote_scores.KL][0] == pytest.approx(mean['vote/kl'], abs=1e-6)


def check_reports(path, tmp_path):
  """A run is all chains and controls: nothing is better, and that is said."""
  chains = tmp_path / 'chains'
  for kind in ('chain', *ferplus_controls.CONTROLS):
    for seed in range(3):
      shutil.copytree(path, chains / f'{kind}-{seed}')
  decided, _, levels = ferplus_controls.report(chains, replicates=5)
  assert {row[1] for row in decided.rows} == {'not testable here'}
  assert all('below the floor' in row[2] for row in decided.rows)
  assert {row[1] for row in levels.rows} == {'3'}
  # And all networks that CIFAR-10's annotators judge.
  for kind in cifar10h.KINDS.keys() - ferplus_controls.CONTROLS.keys():
    for seed in range(3):
      shutil.copytree(path, chains / f'{kind}-{seed}')
  np.save(tmp_path / 'cifar10h-counts.npy', np.full((4, 10), 5))
  plan = cifar10h.plan(chains, 'CIFAR', range(3))
  made = cifar10h.report(chains, tmp_path, plan, replicates=5)
  _, levels, decided, *strata = made
  assert {row[1] for row in decided.rows} == {'not testable here'}
  rows = {row[0] for row in levels.rows}
  assert {'MC dropout, single', 'mixup 0.2, ensemble', 'Stu1, single'} <= rows
  assert len(rows) == 2 * (len(cifar10h.NAMES) + 1)
  assert {tuple(row[0] for row in one.rows) for one in strata} == {
    tuple(row[0] for row in levels.rows)
  }
  # And one of two networks for each number of votes.
  rates = tmp_path / 'rates'
  for votes in (1, 10):
    shutil.copytree(path, exchange_rate.run_path(rates, votes, 2, 0))
  found = exchange_rate.read(rates, (1, 10), (0,), members=2)
  made = exchange_rate.scores(found, 5, members=2)
  assert list(made) == ['one teacher', '2 teachers', 'a student of 2']
  table = exchange_page.levels(made, vote_scores.KL, 24)
  assert [row[0] for row in table.rows] == ['1', '10']
  cast = np.random.default_rng(0).multinomial(10, np.full(8, 1 / 8), 30)
  drawn = exchange_page.figure(made, cast)
  assert drawn.startswith(b'\x89PNG')
  titles = [one.title for one in exchange_rate.report(found, made, cast)]
  assert len(titles) == 6
  # Two teachers of five would be the five's.
  with pytest.raises(ValueError, match='another number of teachers than 5'):
    exchange_rate.read(rates, (1, 10), (0,), members=5)
