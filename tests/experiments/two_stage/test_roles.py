"""Subsets, external data and balancing of papers 001 and 002."""

import dataclasses
import pathlib
import runpy

import numpy as np
import pytest
import trees

from emojax import experiments, tasks
from emojax.data import embedded
from emojax.data.prepare import command as prepare
from emojax.experiments.two_stage import balancing, roles

CONFIGS = pathlib.Path(__file__).parents[3] / 'configs'
SINGLE = (('au',), ('expr',), ('va',))
MIXED = (('expr',), ('va',), ('expr', 'va'))
PAIR = (tasks.expr_task(), tasks.va_task())


def config_of(name, preset='tiny', **changes):
  config = runpy.run_path(str(CONFIGS / f'{name}.py'))['get_config'](preset)
  names = {key.replace('__', '.'): value for key, value in changes.items()}
  config.update_from_flattened_dict(names)
  return config


@pytest.fixture(scope='module')
def incomplete():
  return roles.from_config(
    config_of('incomplete_labels'), tasks.ABAW2021, SINGLE
  )


@pytest.fixture(scope='module')
def shared():
  return roles.from_config(config_of('shared_annotations'), PAIR, MIXED)


def mask_of(clips, name):
  mask = clips.targets[name].mask
  return (mask if mask.ndim == 2 else mask.max(-1)) > 0


def test_every_still_of_a_subset_has_its_labels(incomplete, shared):
  for data, subsets in ((incomplete, SINGLE), (shared, MIXED)):
    for groups in data.groups.values():
      for names in subsets:
        for index in groups.get(roles.subset_name(names), ()):
          for name in names:
            assert mask_of(data.stills, name)[index].all()


def test_external_data_join_the_subsets(incomplete):
  base, merged = (incomplete.groups[k] for k in ('baseline', 'imbalanced'))
  for name, index in base.items():
    assert len(index) == 4 * 8  # clips times frames
    assert len(merged[name]) == 4 * 8 + 24
    assert set(index) <= set(merged[name])


def test_sources_do_not_share_people(incomplete):
  people = {
    name: set(clips.subject_id)
    for name, clips in (('val', incomplete.val), ('test', incomplete.test))
  }
  assert not people['val'] & people['test']
  sources = {s.partition('/')[0] for s in incomplete.stills.clip_id}
  assert sources == {'main', 'au', 'expr', 'va'}


def test_scores_may_be_of_the_clips_that_chose_the_epochs():
  data = config_of('shared_annotations').data
  assert roles.is_apart(data)
  data.name = 'prepared'
  assert not roles.is_apart(data)  # Aff-Wild2's test labels are not public
  data.test_split = 'test'
  assert roles.is_apart(data)


def test_subsets_of_both_labels_are_external(shared):
  assert set(shared.groups['baseline']) == {'expr', 'va'}
  index = shared.groups['imbalanced']['expr_va']
  assert len(index) == 24
  assert all(s.startswith('expr_va/') for s in shared.stills.clip_id[index])


def test_shared_videos_are_in_both_subsets(shared):
  base = shared.groups['baseline']
  both = np.intersect1d(base['expr'], base['va'])
  assert len(both) == 3 * 8
  clips = shared.clip_groups
  np.testing.assert_array_equal(
    clips['expr_va'], np.intersect1d(clips['expr'], clips['va'])
  )
  assert set(shared.stills.targets) == {'expr', 'va'}


def test_frames_of_videos_are_stills():
  made = embedded.make(0, 32, 4, {'expr': 2}, 1, 1, 1).train
  stills = roles.stills_of(made)
  np.testing.assert_array_equal(stills.image[5, 0], made.image[1, 1])
  value = stills.targets['expr'].value
  np.testing.assert_array_equal(value[5, 0], made.targets['expr'].value[1, 1])
  assert stills.clip_id[5] == f'{made.clip_id[1]}+1'
  stills.check(tasks.ABAW2021)


def targets_of(classes, values=None, au=None):
  n = len(classes)
  targets = tasks.empty_targets(tasks.ABAW2021, (n, 1))
  targets['expr'].value[:, 0] = np.eye(7)[classes]
  targets['va'].value[:, 0] = 0 if values is None else values
  targets['au'].value[:, 0] = 0 if au is None else au
  for target in targets.values():
    target.mask[:] = 1
  return targets


def test_balanced_expressions_are_equally_frequent():
  classes = np.array([0] * 700 + [1] * 70 + [2] * 7)
  index = np.arange(len(classes))
  drawn = balancing.balanced(
    targets_of(classes), index, ('expr',), tasks.ABAW2021, 'paper', 0
  )
  counts = np.bincount(classes[drawn], minlength=3) / len(drawn)
  np.testing.assert_allclose(counts[:3], 1 / 3, atol=0.03)


def test_balanced_valence_and_arousal_spread_over_the_cells():
  values = np.concatenate([np.full((500, 2), 0.03), np.full((10, 2), -0.7)])
  drawn = balancing.balanced(
    targets_of(np.zeros(510, int), values),
    np.arange(510),
    ('va',),
    tasks.ABAW2021,
    'paper',
    0,
  )
  assert abs(np.mean(drawn >= 500) - 0.5) < 0.05


@pytest.mark.parametrize('variant', ['paper', 'published'])
def test_minority_action_units_are_cloned(variant):
  rng = np.random.default_rng(0)
  au = np.zeros((400, 12))
  au[:, 0] = rng.random(400) < 0.5
  au[:10, 1] = 1
  drawn = balancing.balanced(
    targets_of(np.zeros(400, int), au=au),
    np.arange(400),
    ('au',),
    tasks.ABAW2021,
    variant,
    0,
  )
  assert au[drawn, 1].mean() > 1.5 * au[:, 1].mean()


def test_unknown_variant():
  with pytest.raises(ValueError, match=r"config.data.balance 'none'"):
    balancing.balanced(
      targets_of([0]), np.arange(1), ('expr',), tasks.ABAW2021, 'none', 0
    )


def test_main_videos_are_thinned_beside_external_data(incomplete):
  config = config_of(
    'incomplete_labels', data__va_every=4, data__keep__neutral=8
  )
  thin = roles.from_config(config, tasks.ABAW2021, SINGLE)
  assert len(thin.groups['imbalanced']['va']) == 4 * 8 // 4 + 24
  assert len(thin.groups['baseline']['va']) == 4 * 8

  def neutral(data):
    index = data.groups['imbalanced']['expr']
    main = [i for i in index if data.stills.clip_id[i].startswith('main/')]
    return data.stills.targets['expr'].value[main, 0, 0].sum()

  assert neutral(incomplete) > 4
  assert neutral(thin) <= neutral(incomplete) / 2


def test_an_epoch_is_of_the_data_before_resampling(incomplete):
  found = incomplete.subsets('balanced', ('expr', 'va'))
  assert [len(g) for g in found.groups] == [4 * 56, 4 * 56]
  assert found.smallest == 56
  assert incomplete.subsets('baseline', ('va',)).smallest == 32
  with pytest.raises(ValueError, match=r"condition 'other': expected one of"):
    incomplete.subsets('other', ('va',))


def test_a_subset_without_data():
  config = config_of('shared_annotations', data__external_stills__full=0)
  with pytest.raises(ValueError, match=r'config.data.external.expr_va'):
    roles.from_config(config, PAIR, MIXED)


def test_names_that_do_not_exist():
  with pytest.raises(ValueError, match=r"config.data.name 'other'"):
    roles.from_config(
      config_of('incomplete_labels', data__name='other'), tasks.ABAW2021, SINGLE
    )
  with pytest.raises(ValueError, match=r'--config.data.path=FOLDER'):
    roles.from_config(
      config_of('incomplete_labels', data__name='prepared'),
      tasks.ABAW2021,
      SINGLE,
    )


@pytest.mark.parametrize(
  ('paper', 'kept'),
  [('incomplete_labels', 'au expr va'), ('shared_annotations', 'expr va')],
)
def test_other_data_are_taken_as_the_papers_know_them(paper, kept):
  params = embedded.sample_clip_parameters(2, 2, 2)
  clips = embedded.make_clips(params, 32, hidden=0.5)
  clips = dataclasses.replace(clips, votes=np.ones((2, 2, 7), np.float32))
  found = experiments.trained(paper).as_trained(None, clips, tasks.ABAW2021)
  assert sorted(found.targets) == kept.split()
  known = found.truth, found.frame_truth, found.votes
  assert known == (None, None, None)


def prepared(path, **options):
  """Faces with all expressions, in the order that the options ask for."""
  tree = trees.Tree('folder', path / 'tree')
  rows = ['path,expression,split']
  for i, name in enumerate(tasks.AFFWILD2):
    for split in ('train', 'validation'):
      tree.image(f'{split}{i}.png', 20 * i, (32, 32))
      rows.append(f'{split}{i}.png,{name},{split}')
  tree.text('labels.csv', *rows)
  return prepare.prepare(
    'folder', tree.root, path / 'out', size=32, workers=1, options=options
  )


def test_external_classes_in_another_order_are_refused(tmp_path):
  """As many classes are no match: anger would be trained as neutral."""
  main = prepared(tmp_path / 'main')
  changes = {
    'data__name': 'prepared',
    'data__path': str(main),
    'data__image_size': 32,
  }

  def opened(external):
    config = config_of(
      'incomplete_labels', data__external__expr=str(external), **changes
    )
    schema = roles.schema_from_config(config, ('expr',))
    return roles.from_config(config, schema, (('expr',),))

  found = opened(prepared(tmp_path / 'same'))
  assert len(found.groups['imbalanced']['expr']) == 21
  other = prepared(tmp_path / 'other', classes=','.join(tasks.EXPW))
  with pytest.raises(
    ValueError,
    match=r"other/out: task 'expr' has labels anger, disgust, .*neutral; "
    r'expected neutral, anger, .*expressions=',
  ):
    opened(other)
