"""Which settings mean nothing while others have some value.

A rule never concerns defaults: they are there for when the other setting changes.
What is refused is an override that would change nothing, as its user believes
that it does.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from emojax.settings.kinds import SettingError
from emojax.settings.table import FAMILIES, STILLS


@dataclasses.dataclass(frozen=True)
class Rule:
  """Settings that mean nothing under a condition.

  Attributes:
    settings: Their names; a star at the end stands for any rest.
    by: Names of the settings that decide.
    when: Whether the settings are dead, by the values of `by`. Not asked in
      experiments that lack one of them.
    instead: Override that would give them a meaning, or ''.
    off: Values of the settings that switch them off, which is no mistake.
    of: Experiments that the rule is about; () for all.
  """

  settings: tuple[str, ...]
  by: tuple[str, ...]
  when: Callable[..., bool]
  instead: str = ''
  off: tuple = ()
  of: tuple[str, ...] = ()

  def dead(self, values: Mapping[str, Any]) -> list[str]:
    """Settings among `values` that mean nothing."""
    if self.of and values.get('experiment') not in self.of:
      return []
    if any(name not in values for name in self.by):
      return []
    if not self.when(*(values[name] for name in self.by)):
      return []
    return [
      name
      for name, value in values.items()
      if any(matches(name, pattern) for pattern in self.settings)
      and _plain(value) not in map(_plain, self.off)
    ]

  def error(self, name: str, values: Mapping[str, Any]) -> SettingError:
    """What to say of one of these settings."""
    why = ' and '.join(f'config.{by}={values[by]!r}' for by in self.by)
    remedy = f'add --config.{self.instead}, or leave it out'
    return SettingError(
      f'config.{name}={values[name]!r} means nothing while {why}: '
      f'{remedy if self.instead else "leave it out"}'
    )


def matches(name: str, pattern: str) -> bool:
  """Whether a name is a pattern, or begins as one that ends in a star."""
  if pattern.endswith('*'):
    return name.startswith(pattern[:-1])
  return name == pattern


def _plain(value: Any) -> Any:
  return tuple(value) if isinstance(value, list) else value


def none_of(*wanted: str) -> Callable[..., bool]:
  """Whether a tuple, or a text with commas, names none of these."""

  def when(names) -> bool:
    return not set(wanted) & set(listed(names))

  return when


def listed(names) -> list[str]:
  """A tuple, or the parts of a text with commas between."""
  if isinstance(names, str):
    return [name.strip() for name in names.split(',')]
  return list(names)


def _no_sgd(optimizer: str, networks: str) -> bool:
  return optimizer == 'adam' or (optimizer == 'auto' and 'vgg' not in networks)


def _no_connections(methods: str, noise: str) -> bool:
  sampled = 'dropconnect' in listed(methods)
  return not sampled and not (
    'ensemble' in listed(methods) and noise == 'dropconnect'
  )


def _clean(rates, stored: bool) -> bool:
  return not stored and not any(rates)


# Forms of relative uncertainty learning.
RUL = ('rul', 'mix_output', 'loss_attention', 'rul_permutation')


def _no_branch(embedding: str, methods) -> bool:
  """Whether no network of paper 003 has a branch, for its features or its doubts."""
  return embedding != 'branch' and none_of('dul', *RUL)(methods)


def _no_size(embedding: str, methods) -> bool:
  """Whether no branch has a size of its own: DUL's is that of pooled features."""
  if embedding == 'pooled':
    return none_of(*RUL)(methods)
  return _no_branch(embedding, methods)


def _no_noise(methods: str, noise: str) -> bool:
  return noise == 'none' and none_of('dropout', 'dropconnect')(methods)


def is_(value: Any) -> Callable[..., bool]:
  """Whether a setting has this value."""
  return lambda found: found == value


def is_one_of(*values: Any) -> Callable[..., bool]:
  """Whether a setting has one of these values."""
  return lambda found: found in values


def empty(value) -> bool:
  """Whether nothing is named."""
  return not value


PREPARED_ONLY = (
  'data.path',
  'data.val_split',
  'data.test_split',
  'data.val_fraction',
  'data.unlabelled',
  'data.unlabelled_train',
  'data.ood_path',
  'data.ood_limit',
  'data.stride',
  'data.tail',
  'data.eval_tail',
  'data.gaps',
  'data.memory_gib',
  'data.external.*',
)
EMBEDDED_ONLY = (
  'data.train_clips.*',
  'data.external_stills.*',
  'data.val_clips',
  'data.test_clips',
)
TWO_STAGE = ('incomplete_labels', 'shared_annotations')
STUDENTS = (
  'ensemble.size',
  'train.student_epochs',
  'loss.temperature',
  'loss.supervision_weight',
  'loss.divergence',
  'loss.distillation_scale',
)
SEQUENCES = (
  'model.gru',
  'recurrent.teacher_epochs',
  'recurrent.student_epochs',
  'recurrent.steps',
  'recurrent.clips_per_task',
  'recurrent.learning_rate',
  'recurrent.decay_every',
  'recurrent.decay_factor',
  'recurrent.patience',
  'recurrent.select',
  'recurrent.schedule',
  'recurrent.warmup_epochs',
  'recurrent.weight_decay',
  'recurrent.ema',
)
RULES = (
  # Data.
  Rule(
    PREPARED_ONLY, ('data.name',), is_('embedded'), 'data.name=prepared', ('',)
  ),
  Rule(EMBEDDED_ONLY, ('data.name',), is_('prepared'), 'data.name=embedded'),
  Rule(
    ('data.hidden', 'data.voice'),
    ('data.name',),
    is_('prepared'),
    'data.name=embedded',
    (0, 'face'),
  ),
  # Nothing tells what a single frame hides but a voice.
  Rule(
    ('data.hidden',),
    ('data.clip_length', 'data.eval_clip_length', 'data.audio'),
    lambda train, test, audio: train == 1 and test in (0, 1) and not audio,
    'data.clip_length=8',
    (0,),
  ),
  Rule(
    ('data.voice',),
    ('data.audio',),
    is_(False),
    'data.audio=True',
    ('face',),
  ),
  Rule(('data.voice',), ('data.hidden',), is_(0), 'data.hidden=0.5', ('face',)),
  Rule(('data.seed',), ('data.name',), is_('prepared'), of=TWO_STAGE),
  Rule(
    ('data.seed',),
    ('data.name', 'data.val_fraction'),
    lambda name, share: name == 'prepared' and share == 0,
    of=('relative_uncertainty',),
  ),
  Rule(('data.val_split',), ('data.val_fraction',), lambda share: share > 0),
  Rule(('data.ood_limit',), ('data.ood_path',), empty, 'data.ood_path=FOLDER'),
  Rule(
    ('data.audio',),
    ('model.name',),
    lambda name: name in ('emenet_v', *STILLS),
    'model.name=emenet_va',
    (False,),
  ),
  Rule(
    ('data.audio', 'data.ood_clips', 'data.ood_path', 'data.eval_clip_length'),
    ('experiment',),
    is_('relative_uncertainty'),
    off=(False, ''),
  ),
  Rule(('data.audio',), ('experiment',), is_('bayesian'), off=(False,)),
  # The heads of single images have no order, and one frame is a clip.
  Rule(('model.head',), ('model.name',), lambda name: name in STILLS),
  # A single frame has nothing before it that a head could remember.
  Rule(
    ('model.head',),
    ('data.clip_length', 'data.eval_clip_length'),
    lambda train, test: train == 1 and test in (0, 1),
    'data.clip_length=8',
    ('paper', 'published'),
  ),
  Rule(
    ('train.augment_per',),
    ('train.augment',),
    is_('none'),
    'train.augment=NAME',
  ),
  Rule(
    ('train.augment_per',),
    ('data.clip_length',),
    is_(1),
    of=('distillation',),
  ),
  # CNNs see single frames, recurrent networks features without augmentation.
  Rule(('train.augment_per',), ('experiment',), is_one_of(*TWO_STAGE)),
  # Paper 000.
  Rule(
    ('loss.reweight_students', 'loss.correct_teachers'),
    ('loss.reweight',),
    is_(False),
    off=(False,),
  ),
  Rule(('loss.weight_power',), ('loss.reweight',), is_(False), off=(1.0,)),
  Rule(
    ('loss.reweight_students', 'loss.correct_teachers'),
    ('generations',),
    is_(0),
    'generations=1',
  ),
  Rule(
    ('eval.mc_samples',),
    ('model.dropout', 'distill.method'),
    lambda rate, method: rate == 0 and method not in FAMILIES,
    off=(0,),
  ),
  Rule(
    ('distill.method',), ('generations',), is_(0), 'generations=1', ('mean',)
  ),
  Rule(('distill.students',), ('generations',), is_(0), 'generations=1', (0,)),
  Rule(('distill.teachers',), ('generations',), is_(0), 'generations=1', ('',)),
  Rule(
    ('loss.reweight_students',),
    ('distill.method',),
    is_one_of(*FAMILIES),
    off=(False,),
  ),
  # bfloat16 is multiplied exactly anyway. Paper 003's heads are float32.
  Rule(
    ('runtime.precision',),
    ('model.dtype',),
    is_('bfloat16'),
    'model.dtype=float32',
    ('default',),
    ('bayesian', 'distillation', *TWO_STAGE),
  ),
  # Learning rates.
  Rule(
    ('train.decay_every', 'train.decay_factor', 'train.decay_start'),
    ('train.schedule',),
    is_one_of('cosine', 'onecycle'),
    'train.schedule=step',
  ),
  Rule(
    ('recurrent.decay_every', 'recurrent.decay_factor'),
    ('recurrent.schedule',),
    is_one_of('cosine', 'onecycle'),
    'recurrent.schedule=step',
  ),
  Rule(
    ('train.decay_factor',),
    ('train.schedule', 'train.decay_every', 'train.epochs'),
    lambda kind, every, epochs: kind == 'step' and every >= epochs,
  ),
  Rule(
    ('train.decay_factor',),
    (
      'train.schedule',
      'train.decay_start',
      'train.decay_every',
      'train.epochs',
    ),
    lambda kind, start, every, epochs: (
      kind == 'step' and start + every >= epochs
    ),
  ),
  Rule(
    ('train.decay_factor',),
    (
      'train.schedule',
      'train.decay_every',
      'train.teacher_epochs',
      'train.student_epochs',
    ),
    lambda kind, every, *epochs: kind == 'step' and every >= max(epochs),
  ),
  Rule(
    ('recurrent.decay_factor',),
    (
      'recurrent.schedule',
      'recurrent.decay_every',
      'recurrent.teacher_epochs',
      'recurrent.student_epochs',
    ),
    lambda kind, every, *epochs: kind == 'step' and every >= max(epochs),
  ),
  Rule(
    ('train.decay_every', 'train.decay_start'),
    ('train.decay_factor',),
    is_(1),
  ),
  Rule(('recurrent.decay_every',), ('recurrent.decay_factor',), is_(1)),
  # Paper 001 and 002: students, and recurrent networks.
  Rule(
    (*STUDENTS, *SEQUENCES, 'recurrent.lengths'),
    ('multitask',),
    empty,
    'multitask=balanced',
  ),
  Rule(STUDENTS, ('sharing',), empty, 'sharing=(True,)'),
  Rule(SEQUENCES, ('recurrent.lengths',), empty, 'recurrent.lengths=(8,)'),
  Rule(
    ('data.balance',),
    ('conditions', 'multitask'),
    lambda conditions, multitask: 'balanced' not in (*conditions, multitask),
  ),
  Rule(
    ('data.va_every', 'data.keep.*', 'data.external*'),
    ('conditions', 'multitask'),
    lambda conditions, multitask: {*conditions, multitask} <= {'baseline', ''},
    off=('',),
  ),
  # Paper 003: constants of methods that are not trained.
  Rule(
    ('loss.rul_pairing',),
    ('methods',),
    none_of('rul', 'mix_output', 'loss_attention'),
  ),
  Rule(('loss.rul_ratio', 'loss.rul_halved'), ('methods',), none_of(*RUL)),
  Rule(('loss.mix_output',), ('methods',), none_of('mix_output')),
  Rule(('loss.scn_*',), ('methods',), none_of('scn')),
  Rule(('loss.dul_*',), ('methods',), none_of('dul')),
  Rule(('loss.conf_*',), ('methods',), none_of('conf')),
  Rule(
    ('relabel.*',),
    ('methods', 'relabel.methods'),
    lambda methods, relabel: not set(methods) & set(relabel),
    off=((),),
  ),
  Rule(('relabel.*',), ('noise.rates', 'noise.stored'), _clean, off=((),)),
  Rule(
    ('relabel.margin', 'relabel.start_epoch', 'relabel.start_accuracy'),
    ('relabel.fraction',),
    is_(0),
  ),
  Rule(
    ('model.dropout',), ('model.embedding', 'methods'), _no_branch, off=(0,)
  ),
  Rule(('model.features',), ('model.embedding', 'methods'), _no_size),
  Rule(
    ('loss.label_smoothing',),
    ('methods',),
    none_of('baseline'),
    off=(0,),
    of=('relative_uncertainty',),
  ),
  Rule(
    ('train.momentum',),
    ('train.optimizer',),
    is_one_of('adam', 'adamw'),
    'train.optimizer=sgd',
  ),
  # Paper 004.
  Rule(
    ('train.momentum', 'train.sgd_decay'),
    ('train.optimizer', 'networks'),
    _no_sgd,
    'train.optimizer=sgd',
  ),
  *(
    Rule((f'train.learning_rate.{name}',), ('networks',), none_of(name))
    for name in STILLS
  ),
  Rule(
    ('ensemble.size', 'ensemble.noise'),
    ('methods',),
    none_of('ensemble'),
    of=('bayesian',),
  ),
  Rule(('mc.*',), ('methods',), none_of('dropout', 'dropconnect')),
  Rule(('mc.batch_norm',), ('networks',), is_('vgg16')),  # has no BatchNorm
  Rule(('model.hidden',), ('networks',), is_('densenet121')),
  Rule(('model.mask_per',), ('methods', 'ensemble.noise'), _no_connections),
  Rule(
    ('model.dropout', 'model.placement'),
    ('methods', 'ensemble.noise'),
    _no_noise,
    'ensemble.noise=dropout',
    (0,),
  ),
)
