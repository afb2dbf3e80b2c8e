"""The settings of all configurations: known, in their ranges, and never dead."""

import itertools
import pathlib
import re
import runpy

import pytest
from ml_collections import ConfigDict

from emojax import experiments, losses, models, settings, tasks
from emojax.cli import FORMER
from emojax.data import load
from emojax.data.clips import sampling, windows
from emojax.data.embedded import dataset as embedded
from emojax.data.transform import augment
from emojax.data.transform.transforms import PER
from emojax.engine import optimisation, task_balance
from emojax.engine.programs import PRECISIONS
from emojax.experiments.bayesian import faces
from emojax.experiments.bayesian import networks as bayesian_networks
from emojax.experiments.distillation import one_network as distilled
from emojax.experiments.relative_uncertainty import method, setup
from emojax.experiments.two_stage import roles
from emojax.losses import noisy_labels, two_stage
from emojax.models import (
  classifier,
  heads,
  multitask_cnn,
  one_network,
  resnet,
  uncertainty_net,
)
from emojax.ops.conv import LOWERINGS
from emojax.runtime import overrides
from emojax.settings import SettingError, flatten, rules

ROOT = pathlib.Path(__file__).parents[2]
FILES = {
  path.stem: runpy.run_path(str(path))
  for path in sorted((ROOT / 'configs').glob('*.py'))
  if path.stem not in ('common', *FORMER)  # shared, or the same as another
}


def presets(file):
  """All presets of a configuration file."""
  found = FILES[file]
  if file == 'study':
    names = [*found['PRESETS']]
    return names + [f'{n}_affwild2' for n in names if n != 'tiny']
  if file == 'bayesian':
    sizes = ('embedded', *found['BASES'])
    parts = ('', *found['NETWORKS'], *found['METHODS'], *found['RULES'])
    pairs = itertools.product(sizes, parts)
    return ['-'.join(filter(None, pair)) for pair in pairs]
  return [*found['PRESETS']]


ALL = [(file, preset) for file in FILES for preset in presets(file)]


def make(file, preset=None, **changes):
  """A preset with some settings changed; names are dotted with '__'."""
  config = FILES[file]['get_config'](*([preset] if preset else []))
  names = {key.replace('__', '.'): value for key, value in changes.items()}
  config.update_from_flattened_dict(names)
  return config


@pytest.mark.parametrize(('file', 'preset'), ALL)
def test_all_settings_are_known_and_no_default_is_refused(file, preset):
  config = make(file, preset)
  overrides.check(config)
  values = flatten(config.to_dict())
  for name, value in values.items():
    setting = settings.find(name, config.experiment)
    assert type(value) is setting.kind, name
    assert setting.help
  assert set(values) <= set(
    re.findall(r'--config\.([^=]+)=', described(values))
  )


def described(values):
  return settings.describe(values)


def test_every_setting_is_of_some_configuration():
  used = set()
  for file, preset in ALL:
    config = make(file, preset)
    for name in flatten(config.to_dict()):
      setting = settings.find(name, config.experiment)
      used |= {
        key for key, other in settings.SETTINGS.items() if other is setting
      }
  assert used == set(settings.SETTINGS)


# A configuration in which each rule holds; the rules that it is about follow.
DEAD = [
  ('gen', {}),
  ('gen', {'data__name': 'prepared', 'data__path': 'x'}),
  ('gen', {'data__hidden': 0.5, 'data__name': 'prepared'}),
  ('gen', {'data__hidden': 0.5, 'data__voice': 'hidden'}),
  ('gen', {'data__audio': True, 'data__voice': 'hidden'}),
  (
    'gen',
    {
      'data__hidden': 0.5,
      'data__clip_length': 1,
      'data__eval_clip_length': 1,
    },
  ),
  (
    'gen',
    {
      'model__head': 'frames',
      'data__clip_length': 1,
      'data__eval_clip_length': 1,
    },
  ),
  ('gen', {'generations': 0}),
  ('gen', {'generations': 0, 'distill__method': 'hydra'}),
  ('gen', {'generations': 0, 'distill__students': 1}),
  ('gen', {'generations': 0, 'distill__teachers': 'RUN'}),
  (
    'gen',
    {'distill__method': 'dirichlet', 'loss__reweight_students': True},
  ),
  ('gen', {'loss__reweight': False, 'loss__reweight_students': True}),
  ('gen', {'loss__reweight': False, 'loss__weight_power': 0.5}),
  ('gen', {'data__audio': True, 'model__dropout': 0.0}),
  ('gen', {'model__name': 'alexnet', 'train__augment': 'none'}),
  ('gen', {'data__clip_length': 1, 'train__decay_factor': 1.0}),
  ('gen', {'train__decay_every': 5}),
  ('gen', {'train__schedule': 'cosine'}),
  ('gen', {'model__dtype': 'bfloat16', 'runtime__precision': 'high'}),
  ('ferplus', {}),
  ('incomplete_labels', {'multitask': ''}),
  ('incomplete_labels', {'multitask': '', 'conditions': ('baseline',)}),
  ('incomplete_labels', {'data__name': 'prepared', 'train__decay_every': 5}),
  ('incomplete_labels', {'recurrent__decay_every': 8}),
  ('incomplete_labels', {'recurrent__decay_factor': 1.0}),
  ('incomplete_labels', {'recurrent__schedule': 'cosine'}),
  ('shared_annotations', {'sharing': (), 'recurrent__lengths': ()}),
  ('relative_uncertainty', {'methods': ('baseline',)}),
  ('relative_uncertainty', {'methods': ('rul',), 'loss__label_smoothing': 0.1}),
  ('relative_uncertainty', {'methods': ('dul',), 'model__embedding': 'pooled'}),
  ('relative_uncertainty', {'noise__rates': (0.0,)}),
  (
    'relative_uncertainty',
    {'relabel__fraction': 0.0, 'train__decay_start': 11},
  ),
  ('relative_uncertainty', {'data__name': 'prepared'}),
  ('bayesian', {'data__audio': True}),
  ('bayesian', {'methods': 'ensemble', 'networks': 'vgg16'}),
  ('bayesian', {'methods': 'ensemble', 'ensemble__noise': 'none'}),
  ('bayesian', {'methods': 'dropout', 'networks': 'densenet121'}),
]


@pytest.mark.parametrize(('file', 'changes'), DEAD)
def test_overrides_that_mean_nothing_are_refused_by_name(file, changes):
  values = flatten(make(file, **changes).to_dict())
  settings.check(values)  # as they are nobody's override
  found = 0
  for rule in settings.RULES:
    for name in rule.dead(values):
      found += 1
      with pytest.raises(SettingError) as error:
        settings.check(values, {name})
      assert str(error.value).startswith(f'config.{name}=')
      assert 'means nothing while config.' in str(error.value)
      for by in rule.by:
        assert f'config.{by}=' in str(rule.error(name, values))
  assert found


def test_rules_are_about_settings_that_exist():
  known = {name.rpartition('/')[2].rstrip('*') for name in settings.SETTINGS}
  for rule in settings.RULES:
    for pattern in (*rule.settings, *rule.by):
      stem = pattern.rstrip('*')
      assert any(
        name.startswith(stem) or (name.endswith('.') and stem.startswith(name))
        for name in known
      ), pattern


def test_every_rule_holds_somewhere():
  configs = [flatten(make(file, **more).to_dict()) for file, more in DEAD]
  held = {
    number
    for number, rule in enumerate(settings.RULES)
    if any(map(rule.dead, configs))
  }
  missing = set(range(len(settings.RULES))) - held
  assert not missing, [settings.RULES[i] for i in missing]


@pytest.mark.parametrize(('file', 'preset'), ALL)
def test_what_decides_means_something_itself(file, preset):
  values = flatten(make(file, preset).to_dict())
  for rule in settings.RULES:
    assert not set(rule.by) & set(rule.dead(values))


@pytest.mark.parametrize(
  ('file', 'changes', 'names'),
  [
    # The reported one: somebody's own data, ignored for cartoons.
    ('gen', {'data__path': 'FOLDER'}, ('data.path', 'data.name')),
    ('incomplete_labels', {'data__path': 'FOLDER'}, ('data.path', 'data.name')),
    (
      'relative_uncertainty',
      {'data__path': 'FOLDER'},
      ('data.path', 'data.name'),
    ),
    ('bayesian', {'data__path': 'FOLDER'}, ('data.path', 'data.name')),
    ('gen', {'data__ood_path': 'FOLDER'}, ('data.ood_path', 'data.name')),
    (
      'shared_annotations',
      {'data__external__expr': 'FOLDER'},
      ('data.external.expr', 'data.name'),
    ),
    (
      'relative_uncertainty',
      {'loss__scn_high': 0.5, 'methods': ('rul',)},
      ('scn_high', 'methods'),
    ),
    (
      'relative_uncertainty',
      {'loss__rul_halved': True, 'methods': ('scn',)},
      ('rul_halved', 'methods'),
    ),
    (
      'bayesian',
      {'train__momentum': 0.5},
      ('momentum', 'optimizer', 'networks'),
    ),
    (
      'bayesian',
      {'train__learning_rate__vgg16': 0.5},
      ('learning_rate.vgg16', 'networks'),
    ),
    (
      'incomplete_labels',
      {'train__augment_per': 'frame'},
      ('augment_per', 'experiment'),
    ),
    (
      'shared_annotations',
      {'train__augment_per': 'frame'},
      ('augment_per', 'experiment'),
    ),
    (
      'relative_uncertainty',
      {'loss__label_smoothing': 0.2, 'methods': ('rul', 'dul')},
      ('label_smoothing', 'methods'),
    ),
    (
      'relative_uncertainty',
      {'model__features': 32, 'methods': ('baseline', 'scn')},
      ('features', 'embedding', 'methods'),
    ),
    (
      'relative_uncertainty',
      {
        'model__features': 32,
        'model__embedding': 'pooled',
        'methods': ('baseline', 'dul'),
      },
      ('features', 'embedding', 'methods'),
    ),
    (
      'bayesian',
      {
        'model__dropout': 0.4,
        'methods': 'ensemble',
        'ensemble__noise': 'none',
      },
      ('dropout', 'methods', 'ensemble.noise'),
    ),
    (
      'bayesian',
      {
        'model__placement': 'all',
        'methods': 'ensemble',
        'ensemble__noise': 'none',
      },
      ('placement', 'methods', 'ensemble.noise'),
    ),
  ],
)
def test_mistakes(file, changes, names):
  config = make(file, **changes)
  named = {key.replace('__', '.') for key in changes}
  with pytest.raises(SettingError) as error:
    overrides.check(config, named)
  for name in names:
    assert 'config.' in str(error.value)
    assert name in str(error.value)


def documented():
  """(place, arguments) of the commands in documents, configurations, launch/."""
  paths = [ROOT / 'README.md']
  for pattern in ('docs/**/*.md', 'configs/*.py', 'launch/*'):
    paths += sorted(ROOT.glob(pattern))
  for path in paths:
    text = path.read_text().replace('\\\n', ' ')
    for line in text.splitlines():
      found = re.search(r'--config[= ]"?(configs/\S+\.py\S*)', line)
      if found:
        settings = re.findall(r'--config\.([\w.]+)=([^\s"`\')]+)', line)
        yield path.name, found.group(1).strip('`",.;)'), settings


def test_documented_commands_are_not_refused():
  commands = list(documented())
  assert sum(bool(given) for _, _, given in commands) > 5
  for place, config, given in commands:
    path, _, preset = config.partition(':')
    if not re.fullmatch(r'[\w-]*', preset):
      continue  # stands for any
    file = runpy.run_path(str(ROOT / 'configs' / pathlib.Path(path).name))
    config = file['get_config'](*([preset] if preset else []))
    given = [(settings.current(name), text) for name, text in given]
    for name, text in given:
      known = flatten(config.to_dict())
      assert name in known, (place, name)
      config = overrides.apply(config, [f'{name}={text}'])
    try:
      overrides.check(config, {name for name, _ in given})
    except SettingError as error:
      pytest.fail(f'{place}: {config}: {error}')


@pytest.mark.parametrize(
  ('file', 'changes'),
  [
    ('gen', {'data__name': 'prepared', 'data__path': 'FOLDER'}),
    ('gen', {'data__path': ''}),
    ('gen', {'data__hidden': 0.5}),
    (
      'gen',
      {
        'data__hidden': 0.5,
        'data__voice': 'hidden',
        'data__audio': True,
        'model__name': 'emenet_va',
      },
    ),
    ('incomplete_labels', {'data__hidden': 0.5}),
    ('gen', {'model__dropout': 0.0, 'eval__mc_samples': 0}),
    ('gen', {'model__name': 'emenet_va', 'data__audio': True}),
    ('bayesian', {'networks': 'alexnet, vgg16', 'train__momentum': 0.5}),
    ('relative_uncertainty', {'relabel__methods': ()}),
    # What these learn to doubt with is a branch, beside pooled features, too.
    *(
      (
        'relative_uncertainty',
        {
          'model__embedding': 'pooled',
          'model__dropout': 0.2,
          'methods': ('baseline', name),
        },
      )
      for name in ('dul', *rules.RUL)
    ),
    (
      'relative_uncertainty',
      {
        'model__embedding': 'pooled',
        'model__features': 32,
        'methods': ('dul', 'rul'),
      },
    ),
    (
      'relative_uncertainty',
      {
        'model__embedding': 'branch',
        'model__features': 32,
        'model__dropout': 0.2,
        'methods': ('baseline',),
      },
    ),
    ('bayesian', {'methods': 'ensemble', 'model__placement': 'all'}),
    (
      'bayesian',
      {
        'methods': 'ensemble,dropout',
        'ensemble__noise': 'none',
        'model__dropout': 0.4,
      },
    ),
    (
      'relative_uncertainty',
      {'noise__rates': (0.0,), 'noise__stored': True, 'relabel__margin': 0.1},
    ),
  ],
)
def test_what_means_something_is_allowed(file, changes):
  named = {key.replace('__', '.') for key in changes}
  overrides.check(make(file, **changes), named)


@pytest.mark.parametrize(
  ('file', 'name', 'value', 'message'),
  [
    ('gen', 'model.width', -1.0, 'expected above 0'),
    ('gen', 'model.width', 0.0, 'expected above 0'),
    ('gen', 'model.hidden', 0, 'expected at least 1'),
    ('gen', 'model.dropout', 1.0, 'expected at least 0 and below 1'),
    ('gen', 'data.image_size', 31, 'expected 32 to 4096'),
    ('gen', 'train.learning_rate', float('inf'), 'expected at least 0'),
    ('gen', 'seed', 2**32, 'expected 0 to 4294967295'),
    ('gen', 'runtime.member_chunk', -2, 'expected at least 0, or -1'),
    ('gen', 'data.train_clips.au', -1, 'expected at least 0'),
    ('gen', 'data.hidden', 1e-320, 'at least 0.001 and below 1, or 0'),
    ('gen', 'train.augment', 'emnet', 'expected one of none, emenet'),
    ('gen', 'experiment', 'distil', 'expected one of bayesian'),
    ('bayesian', 'model.dropout', -0.5, 'at least 0 and below 1, or -1'),
    ('bayesian', 'data.clip_length', 2, 'expected 1 to 1'),
    ('bayesian', 'train.learning_rate.alexnet', 0.0, 'expected above 0'),
    ('relative_uncertainty', 'noise.rates', (0.0, 1.5), 'expected each 0 to 1'),
    (
      'relative_uncertainty',
      'methods',
      ('rul', 'rull'),
      'expected each one of baseline',
    ),
    (
      'incomplete_labels',
      'recurrent.lengths',
      (0,),
      'expected each at least 1',
    ),
    (
      'incomplete_labels',
      'model.name',
      'emenet_v',
      'expected one of multitask_cnn',
    ),
    ('shared_annotations', 'teachers', (2, 4), 'expected each one of 2, 3'),
  ],
)
def test_values_out_of_their_range(file, name, value, message):
  values = flatten(make(file).to_dict())
  assert name in values
  with pytest.raises(SettingError, match=f'config.{name}=.*') as error:
    settings.check(values | {name: value})
  assert message in str(error.value)


@pytest.mark.parametrize(
  ('name', 'value', 'message'),
  [
    ('train.epochs', 2.5, 'expected a value of int'),
    ('train.epochs', True, 'expected a value of int'),
    ('data.audio', 1, 'expected a value of bool'),
    (
      'train.epoch',
      3,
      'there is no such setting; did you mean config.train.ep',
    ),
  ],
)
def test_mistakes_of_configuration_files(name, value, message):
  values = flatten(make('gen').to_dict())
  with pytest.raises(SettingError) as error:
    settings.check(values | {name: value})
  assert f'config.{name}' in str(error.value)
  assert message in str(error.value)


def test_settings_that_contradict_each_other():
  with pytest.raises(SettingError, match=r'emenet_va.* listens, .*data.audio'):
    overrides.check(make('gen', model__name='emenet_va'))
  with pytest.raises(SettingError, match=r'data.name.*for prepared data alone'):
    overrides.check(make('ferplus', data__name='embedded'))


def study(**variants):
  config = make('gen')
  config.experiment = 'study'
  config.study = ConfigDict({'variants': variants, 'tables': {}})
  return config


def test_variants_of_a_study_are_checked():
  overrides.check(study(a=('train.epochs=3',)))
  with pytest.raises(SettingError, match=r"variant 'b'.*epochs=0: expected at"):
    overrides.check(study(a=(), b=('train.epochs=0',)))


def test_an_override_of_a_study_means_something_in_some_variant():
  both = study(a=('generations=0', 'seed=1'), b=('seed=2',))
  overrides.check(both, {'generations', 'loss.reweight_students'})
  with pytest.raises(
    SettingError, match=r'config.seed .*every one of config.st'
  ):
    overrides.check(both, {'seed'})
  one = study(a=('generations=0',))
  with pytest.raises(SettingError, match=r'reweight_students.*generations=0'):
    overrides.check(one, {'loss.reweight_students'})


# What the program knows where the table has a choice.
CHOICES = [
  ('experiment', None, experiments.EXPERIMENTS),
  ('data.voice', None, embedded.VOICES),
  ('data.balance', None, sampling.VARIANTS),
  ('distill.method', None, (distilled.MEAN, *one_network.KINDS)),
  ('train.augment', None, augment.COMPOSITIONS),
  ('train.augment_per', None, PER),
  ('data.tail', None, windows.TAILS),
  ('data.eval_tail', None, load.EVAL_TAILS),
  ('data.gaps', None, windows.GAPS),
  ('data.rule', None, faces.RULES),
  ('data.eval_rule', None, ('stored', *faces.HARD)),
  ('model.dtype', None, models.DTYPES),
  ('model.head', 'distillation', heads.HEADS),
  ('model.head', None, multitask_cnn.HEADS),
  ('model.stem', None, resnet.STEMS),
  ('model.embedding', None, ('published', *uncertainty_net.EMBEDDINGS)),
  ('model.normalise', None, uncertainty_net.NORMALISATIONS),
  ('model.placement', None, classifier.PLACEMENTS),
  ('model.mask_per', None, classifier.PER),
  ('methods', None, setup.METHODS),
  ('relabel.methods', None, setup.METHODS),
  ('ensemble.noise', None, classifier.NOISES),
  ('mc.batch_norm', None, bayesian_networks.BATCH_NORM),
  ('train.select', 'bayesian', bayesian_networks.SELECT),
  ('train.select', None, optimisation.SELECT),
  ('recurrent.select', None, optimisation.SELECT),
  ('train.schedule', None, optimisation.SCHEDULES),
  ('recurrent.schedule', None, optimisation.SCHEDULES),
  ('train.optimizer', 'relative_uncertainty', method.OPTIMIZERS),
  (
    'train.optimizer',
    'bayesian',
    ('auto', *bayesian_networks.OPTIMIZERS.values()),
  ),
  ('train.balance', None, (*task_balance.VARIANTS, 'off')),
  ('loss.bin_values', None, tasks.BIN_VALUES),
  ('runtime.lowering', None, LOWERINGS),
  ('runtime.precision', None, PRECISIONS),
  ('conditions', None, roles.CONDITIONS),
  ('multitask', None, ('', *roles.CONDITIONS)),
  ('loss.portion', None, two_stage.PORTIONS),
  ('loss.divergence', None, losses.incomplete.DIVERGENCES),
  ('loss.rul_pairing', None, noisy_labels.PAIRINGS),
  ('loss.rul_ratio', None, noisy_labels.RATIOS),
  ('loss.mix_output', None, noisy_labels.MIXING),
]
# Choices of two, which the program has in an `if` of its own.
IN_PLACE = {'data.name', 'data.channels', 'eval.weights', 'teachers'}


@pytest.mark.parametrize(('name', 'experiment', 'known'), CHOICES)
def test_choices_are_those_of_the_program(name, experiment, known):
  assert set(settings.find(name, experiment).choices) == set(known)


def test_no_choice_is_left_out():
  asked = {(experiment, name) for name, experiment, _ in CHOICES}
  models_of = {(e, 'model.name') for e in rules.TWO_STAGE}  # below
  for name, setting in settings.SETTINGS.items():
    experiment, _, name = name.rpartition('/')
    if setting.choices and name not in IN_PLACE:
      assert (experiment or None, name) in asked | models_of


@pytest.mark.parametrize('kind', ['adam', 'adamw', 'sgd'])
def test_every_optimizer_of_paper_003_is_taken(kind):
  overrides.check(
    make('relative_uncertainty', train__optimizer=kind), {'train.optimizer'}
  )
  method.make_optimizer(kind, 0.1)


def test_momentum_means_nothing_to_adam_of_either_kind():
  for kind in ('adam', 'adamw'):
    with pytest.raises(SettingError, match='means nothing'):
      overrides.check(
        make('relative_uncertainty', train__optimizer=kind), {'train.momentum'}
      )


def test_networks_are_those_of_the_program():
  assert all(d in settings.find('model.depth').help for d in resnet.DEPTHS)
  assert set(settings.table.STILLS) == set(bayesian_networks.RATES)
  for name in ('incomplete_labels', 'shared_annotations'):
    choices = settings.find('model.name', name).choices
    assert set(choices) == {m for m in models.MODELS if 'multitask' in m}


def test_help_of_all_settings():
  text = settings.describe()
  assert '  --config.train.epochs\n      epochs; at least 1\n' in text
  for name in settings.SETTINGS:
    assert f'--config.{name.rpartition("/")[2]}' in text
