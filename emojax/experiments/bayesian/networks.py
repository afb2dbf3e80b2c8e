"""From settings to a network, a training method and a stack of members."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from emojax import losses, models, tasks
from emojax.data.transform.augment import augmentation
from emojax.engine import methods, optimisation, stack
from emojax.engine import plan as plans
from emojax.engine.member import Method
from emojax.engine.trainer import Generation
from emojax.experiments.bayesian.faces import TASK, Faces
from emojax.models.classifier import NOISES

# Share of dropped inputs or weights in each network (paper 004, section 3).
RATES = {'alexnet': 0.5, 'vgg16': 0.2, 'vgg16_bn': 0.2, 'densenet121': 0.2}
OPTIMIZERS = {
  'alexnet': 'adam',
  'vgg16': 'sgd',
  'vgg16_bn': 'sgd',
  'densenet121': 'adam',
}
BATCH_NORM = ('inference', 'training')
# The score that chooses the best epoch, by `train.select`.
SELECT = {'last': 'total', 'best': 'total', 'nll': 'nll'}
DRAW = 2_000_000  # keys of drawn labels, apart from the objective's and mixup's


@dataclasses.dataclass(frozen=True)
class Stack:
  """Members that are trained alike, and the methods that use them.

  Attributes:
    network: Name of the network.
    noise: Its noise, 'dropout', 'dropconnect' or 'none'.
    members: M.
    methods: 'ensemble', or a noise that is sampled.
  """

  network: str
  noise: str
  members: int
  methods: tuple[str, ...]

  @property
  def name(self) -> str:
    return f'{self.network}-{self.noise}'

  def predicts(self, method: str) -> str:
    """Name of what is predicted with one of its methods."""
    return f'{self.network}-{method}'

  @property
  def number(self) -> int:
    """Seeds the members, whatever else is part of the run."""
    return len(NOISES) * list(RATES).index(self.network) + NOISES.index(
      self.noise
    )


def stacks(config) -> list[Stack]:
  """The stacks that a run trains.

  An ensemble of networks with dropout serves MC dropout as well.

  Raises:
    ValueError: On an unknown network or method.
  """
  networks = _names(config.networks, 'networks', tuple(RATES))
  wanted = _names(
    config.methods, 'methods', ('dropout', 'dropconnect', 'ensemble')
  )
  if config.ensemble.noise not in NOISES:
    raise ValueError(
      f'config.ensemble.noise={config.ensemble.noise!r}: expected one of '
      f'{", ".join(NOISES)}'
    )
  found = []
  for network in networks:
    for noise in NOISES:
      users = {
        m: _members(config, m) for m in wanted if _uses(config, m, noise)
      }
      if users:
        most = max(users.values())
        found.append(Stack(network, noise, most, tuple(users)))
  return found


def _names(text: str, setting: str, known) -> list[str]:
  names = [name.strip() for name in text.split(',') if name.strip()]
  wrong = [name for name in names if name not in known]
  if wrong or not names or len(set(names)) < len(names):
    raise ValueError(
      f'config.{setting}={text!r}: expected some of {", ".join(known)}, with '
      'commas between'
    )
  return names


def _uses(config, method: str, noise: str) -> bool:
  return noise == (config.ensemble.noise if method == 'ensemble' else method)


def _members(config, method: str) -> int:
  return config.ensemble.size if method == 'ensemble' else config.mc.members


def network(config, kind: Stack, schema: tasks.Schema, axis_name=None):
  """Builds the network of a stack."""
  m = config.model
  dropout = RATES[kind.network] if m.dropout < 0 else m.dropout
  model = models.build(
    kind.network,
    schema,
    config.data.image_size,
    width=m.width,
    hidden=m.hidden,
    dropout=dropout,
    dtype=m.dtype,
    lowering=config.runtime.lowering,
    axis_name=axis_name,
    channels=config.data.channels,
  )
  return model.clone(
    noise=kind.noise, placement=m.placement, mask_per=m.mask_per
  )


def optimizer(config, name: str) -> optax.GradientTransformation:
  """Adam, or SGD with Keras' decay 1 / (1 + decay * step); no learning rate.

  Either with the weight decay of the configuration, which Keras' decay of the
  rate diminishes with the updates.
  """
  weight_decay = optimisation.setting(config.train, 'weight_decay')
  kind = config.train.optimizer
  kind = OPTIMIZERS[name] if kind == 'auto' else kind
  if kind == 'adam':
    return optimisation.with_decay(optax.scale_by_adam(), weight_decay)
  if kind != 'sgd':
    raise ValueError(
      f'config.train.optimizer={kind!r}: expected auto, adam or sgd'
    )
  decay = config.train.sgd_decay
  return optax.chain(
    optimisation.with_decay(optax.trace(config.train.momentum), weight_decay),
    optax.scale_by_schedule(lambda step: 1 / (1 + decay * step)),
  )


def method(config, kind: Stack, schema: tasks.Schema, mesh) -> Method:
  """The training method of a stack: cross-entropy with hard or soft labels."""
  axis_name = stack.BATCH if mesh.shape[stack.BATCH] > 1 else None
  model = network(config, kind, schema, axis_name)
  made = methods.multitask(
    model,
    schema,
    augment=augmentation(config.train.augment),
    bin_values=None,
    optimizer=optimizer(config, kind.network),
    balance='off',
    axis_name=axis_name,
    mixup=optimisation.setting(config.train, 'mixup'),
    **optimisation.from_config(
      config.train,
      select=SELECT[config.train.select],
    ),
  )
  if config.data.rule == 'probability':
    objective = drawn_labels(made.objective, axis_name, smoothing(config))
    made = dataclasses.replace(made, objective=objective)
  if batch_norm(config) == 'training':
    # Samples see their own chunk only, wherever the others are computed.
    sample = sample_with_batch_statistics(model.clone(axis_name=None))
    made = dataclasses.replace(made, sample=sample)
  return made


def smoothing(config) -> float:
  """Share of every label that all classes divide."""
  part = config.get('loss', {})  # runs of before have no losses to choose
  return optimisation.setting(part, 'label_smoothing', 'loss')


def batch_norm(config) -> str:
  """How BatchNorm works in stochastic passes."""
  found = config.mc.batch_norm
  if found not in BATCH_NORM:
    raise ValueError(
      f'config.mc.batch_norm={found!r}: expected one of {", ".join(BATCH_NORM)}'
    )
  return found


def rate(config, name: str) -> float:
  """The learning rate of a network."""
  found = config.train.learning_rate[name]
  if not found > 0:
    raise ValueError(
      f'config.train.learning_rate.{name}={found}: expected a positive number'
    )
  return found


def drawn_labels(objective, axis_name=None, smoothing: float = 0.0):
  """The objective with a hard label drawn from each soft one, at every visit.

  The rule 'probability' of FER+'s published code. A draw belongs to a place in
  the whole batch, so that cutting it over devices changes nothing. Label smoothing
  comes behind: before, it would be noise.
  """

  def drawn(params, model_state, batch, key, hparams):
    value, mask = batch['targets'][TASK]
    first = 0
    if axis_name is not None:
      first = jax.lax.axis_index(axis_name) * len(value)
    places = first + jnp.arange(len(value))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
      jax.random.fold_in(key, DRAW), places
    )
    index = jax.vmap(jax.random.categorical)(keys, jnp.log(value))
    hard = jax.nn.one_hot(index, value.shape[-1])
    if smoothing:
      hard = losses.smooth_values(hard, smoothing, value.shape[-1])
    batch = {**batch, 'targets': {TASK: tasks.Target(hard, mask)}}
    return objective(params, model_state, batch, key, hparams)

  return drawn


def sample_with_batch_statistics(model):
  """MC passes as keras-uncertainty made them in 2020.

  It predicts in Keras' learning phase, so that BatchNorm, too, works with the
  statistics of the batch that is predicted: a face's prediction depends on the
  other faces of its chunk, padding included.
  """

  def sample(params, model_state, inputs, key):
    outputs, _ = model.apply(
      {'params': params, **model_state},
      {**inputs, 'image': methods.to_float(inputs['image'])},
      train=True,
      rngs={'dropout': key},
      mutable=list(model_state),
    )
    return {TASK: outputs[TASK]}

  return sample


def generation(config, kind: Stack, faces: Faces) -> Generation:
  """What a stack learns from."""
  groups = list(faces.dataset.groups.values())
  steps = plans.steps_per_epoch(groups, config.train.batch_size)
  steps = min(steps, config.train.max_steps or steps)
  ones = np.ones((kind.members, len(faces.dataset.schema[0].labels)))
  hparams = {
    'learning_rate': rate(config, kind.network) * ones[:, 0],
    'pos_weight': ones[:, 0],
    'class_weight': ones,
  }
  hparams = {key: np.asarray(x, np.float32) for key, x in hparams.items()}
  targets = faces.dataset.train.targets
  if config.data.rule != 'probability':
    schema = faces.dataset.schema
    targets = losses.smooth_targets(schema, targets, smoothing(config))
  return Generation(
    kind.number, groups, config.train.batch_size, steps, targets, hparams, False
  )
