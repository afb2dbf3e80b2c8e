"""Fingerprints: equal where the program is, different where it may not be."""

import collections
import dataclasses
import functools
import os
import pathlib
import runpy
import subprocess
import sys
import types

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy

from emojax import tasks
from emojax.data.transform.augment import augmentation
from emojax.engine import fingerprint as fingerprints
from emojax.engine import stack
from emojax.engine.fingerprint import UnknownError, fingerprint
from emojax.experiments.bayesian import networks
from emojax.experiments.distillation import run as distillation
from emojax.experiments.relative_uncertainty import setup
from emojax.experiments.two_stage import builders

CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'


def config(file: str, preset: str):
  return runpy.run_path(str(CONFIGS / f'{file}.py'))['get_config'](preset)


def mesh():
  return stack.make_mesh(1)


def gen():
  return config('gen', 'tiny')


def method(conf=None):
  data = types.SimpleNamespace(schema=tasks.ABAW2021)
  return distillation.method_from_config(conf or gen(), data, mesh())


def with_attribute(value):
  """A function of emojax with an attribute."""
  made = augmentation('none')
  made.attribute = value
  return made


# Made anew by every call, and different from one another.
VALUES = {
  'number': lambda: 1,
  'truth': lambda: True,
  'float': lambda: 1.0,
  'text': lambda: '1',
  'nothing': lambda: None,
  'tuple': lambda: (1, 2),
  'list': lambda: [1, 2],
  'dict': lambda: {'a': 1},
  'other dict': lambda: {'a': 2},
  'set': lambda: {'a', 'b', 'c'},
  'array': lambda: np.zeros(3, np.float32),
  'jax array': lambda: jnp.ones((2, 2)),
  'other shape': lambda: np.zeros((1, 3), np.float32),
  'other type': lambda: np.zeros(3, np.int32),
  'other value': lambda: np.ones(3, np.float32),
  'weak type': lambda: jnp.asarray(1.0),
  'on a device': lambda: jnp.float32(1.0),
  'default': lambda: collections.defaultdict(int, a=1),
  'other default': lambda: collections.defaultdict(float, a=1),
  'plain function': lambda: with_attribute(1),
  'other attribute': lambda: with_attribute(2),
  'scalar': lambda: np.float32(1),
  'type of number': lambda: np.dtype('float32'),
  'function': lambda: jnp.tanh,
  'class': lambda: nn.Dense,
  'module': lambda: nn.Dense(3),
  'other module': lambda: nn.Dense(4),
  'partial': lambda: functools.partial(jnp.sum, axis=0),
  'other partial': lambda: functools.partial(jnp.sum, axis=1),
  'bound': lambda: nn.Dense(3).apply,
  'optimiser': lambda: optax.scale_by_adam(),
  'other optimiser': lambda: optax.scale_by_adam(b1=0.8),
  'closure': lambda: augmentation('none'),
  'other closure': lambda: augmentation('emenet'),
  'devices': lambda: stack.make_mesh(2),
  'fewer devices': lambda: stack.make_mesh(1),
  'batch devices': lambda: stack.make_mesh(1, 2),
  'places': lambda: jax.sharding.PartitionSpec('member'),
  'structure': lambda: jax.tree.structure({'a': 1}),
  'method': lambda: method(),
}


def test_equal_things_are_equal_and_others_are_not():
  found = {name: fingerprint(make()) for name, make in VALUES.items()}
  assert found == {name: fingerprint(make()) for name, make in VALUES.items()}
  assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('model.width', 0.3),
    ('model.dropout', 0.7),
    ('train.decay_every', 7),
    ('train.augment', 'none'),
    ('train.balance', 'off'),
    ('train.schedule', 'cosine'),
    ('train.warmup_epochs', 0.5),
    ('train.weight_decay', 0.1),
    ('train.ema', 0.9),
    ('train.select', 'nll'),
    ('train.mixup', 0.2),
  ],
)
def test_settings_that_change_a_program_change_it(key, value):
  changed = gen()
  changed.update_from_flattened_dict({key: value})
  assert fingerprint(method(changed)) != fingerprint(method())


def test_a_field_of_a_method_changes_it():
  other = dataclasses.replace(method(), patience=3)
  assert fingerprint(other) != fingerprint(method())


@pytest.mark.slow
def test_every_process_finds_the_same():
  text = (
    'import sys; sys.path.insert(0, sys.argv[1]);'
    'from test_fingerprint import *;'
    'print(*(fingerprint(VALUES[name]()) for name in ("set", "method")))'
  )

  def run(seed):
    return subprocess.run(
      [sys.executable, '-c', text, str(pathlib.Path(__file__).parent)],
      env=os.environ | {'PYTHONHASHSEED': seed},
      capture_output=True,
      text=True,
      check=True,
    ).stdout

  first = run('1')
  assert first == run('2')
  assert len(first.split()) == 2


def test_what_refers_to_itself_comes_to_an_end():
  made = []
  made.append(made)
  again = []
  again.append(again)
  assert fingerprint(made) == fingerprint(again)


@functools.wraps(tasks.au_task)
def forged():
  """Says that it is of emojax."""


def unknown():
  def closed_over():
    return inner

  inner = toy.brighten
  return closed_over


@pytest.mark.parametrize(
  'value',
  [
    object(),
    np.array([object()]),
    toy.brighten,  # its module may change without a new version
    toy.Net(),
    forged,
    lambda: 1,
    unknown(),
    [1, (2, {'a': toy.brighten})],
    functools.partial(toy.brighten, 1),
    toy,
  ],
)
def test_nothing_is_guessed(value):
  with pytest.raises(UnknownError):
    fingerprint(value)


def test_a_value_that_is_traced_has_none():
  def run(x):
    with pytest.raises(UnknownError, match='this process'):
      fingerprint(x)
    return x

  jax.jit(run)(1.0)


def test_environment(monkeypatch):
  before = fingerprints.environment()
  assert fingerprints.environment() == before
  monkeypatch.setenv('XLA_SOMETHING', '1')
  assert fingerprints.environment() != before


def test_files_named_like_known_modules_are_not_known(monkeypatch, tmp_path):
  assert fingerprints._is_installed('trace')
  for root in ('trace', 'optax'):
    mine = types.SimpleNamespace(__file__=str(tmp_path / f'{root}.py'))
    monkeypatch.setitem(sys.modules, root, mine)
    assert not fingerprints._is_installed.__wrapped__(root)


@pytest.mark.parametrize(
  ('config', 'key', 'value'),
  [
    (jax.config, 'jax_default_matmul_precision', 'highest'),
    (flax.config, 'flax_fix_rng_separator', True),
  ],
)
def test_environment_has_the_settings_of_libraries(config, key, value):
  before, kept = fingerprints.environment(), getattr(config, key)
  config.update(key, value)
  try:
    assert fingerprints.environment() != before
  finally:
    config.update(key, kept)
  assert fingerprints.environment() == before


def test_source_is_the_text_of_the_package(monkeypatch, tmp_path):
  (tmp_path / 'a.py').write_text('x = 1')
  fake = types.SimpleNamespace(__file__=str(tmp_path / '__init__.py'))
  monkeypatch.setattr(fingerprints, 'emojax', fake)
  digest = fingerprints.source
  before = digest()
  (tmp_path / 'a.py').write_text('x = 2')
  changed = digest()
  (tmp_path / 'b.py').write_text('')
  last = digest()
  assert len({before, changed, last}) == 3
  (tmp_path / '.#a.py').symlink_to('an editor writes this')
  assert digest() == last
  (tmp_path / 'c.py').symlink_to('nothing')
  assert digest() is None
  assert fingerprints.SOURCE is not None


def two_stage():
  conf = config('incomplete_labels', 'tiny')
  names = [task.name for task in tasks.ABAW2020]
  yield builders.cnn_method(conf, tasks.ABAW2020, names)
  yield builders.rnn_method(conf, tasks.ABAW2020, names)


def bayesian():
  conf = config('bayesian', 'tiny')
  conf.networks = ','.join(networks.RATES)
  for rule in ('majority', 'probability'):
    conf.data.rule = rule
    for batch_norm in networks.BATCH_NORM:
      conf.mc.batch_norm = batch_norm
      for kind in networks.stacks(conf):
        yield networks.method(conf, kind, (tasks.expr_task(),), mesh())


def relative_uncertainty():
  conf = config('relative_uncertainty', 'tiny')
  run = types.SimpleNamespace(
    config=conf,
    mesh=mesh(),
    task=tasks.expr_task(),
    dataset=types.SimpleNamespace(train=range(10)),
  )
  for name in setup.METHODS:
    yield setup.method_from_config(run, name, 5)


@pytest.mark.parametrize('made', [bayesian, relative_uncertainty, two_stage])
def test_the_methods_of_all_experiments_have_one(made):
  """Without one a program is traced at every start, and nobody notices."""
  found = [fingerprint(m) for m in made()]
  assert len(found) > 1
  assert len(set(found)) == len(found)
