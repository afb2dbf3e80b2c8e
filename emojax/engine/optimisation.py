"""How a network is optimised, whatever it learns: rates, weight decay, averages.

Settings of `config.train` that every experiment shares:

  schedule        'step', 'exponential', 'cosine' or 'onecycle'
  warmup_epochs   epochs in which the rate rises to its peak
  weight_decay    decoupled, as AdamW's
  ema             decay of the moving average of the weights
  select          the score that chooses the best epoch

A run that was made before one of them existed lacks it, and has its value in
`NEUTRAL`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from emojax.engine.packing import pack

# What does nothing.
NEUTRAL: dict[str, Any] = {
  'train.schedule': 'step',
  'train.warmup_epochs': 0.0,
  'train.weight_decay': 0.0,
  'train.ema': 0.0,
  'train.select': 'total',
  'train.mixup': 0.0,
  'loss.label_smoothing': 0.0,
  'loss.correct_teachers': False,
  'loss.weight_power': 1.0,
  'eval.flip': False,
  'eval.spread': 0.0,
  'relabel.start_accuracy': 0.0,
  'data.unlabelled_train': False,
  'data.hidden': 0.0,
  'data.voice': 'face',
  'distill.method': 'mean',
  'distill.students': 0,
  'distill.teachers': '',
  'runtime.precision': 'default',
}
# Papers 001 and 002 have a stage of their own for recurrent networks.
STAGED = ('schedule', 'warmup_epochs', 'weight_decay', 'ema', 'select')
NEUTRAL |= {f'recurrent.{name}': NEUTRAL[f'train.{name}'] for name in STAGED}
SCHEDULES = ('step', 'exponential', 'cosine', 'onecycle')
SELECT = ('total', 'nll')
# PyTorch's and optax's one-cycle: the first and the last rate below the peak.
ONECYCLE_START, ONECYCLE_END = 1 / 25, 1 / 25e4


class Schedule(NamedTuple):
  """Learning-rate factor by epochs; `stepwise` as in `engine.member.Method`."""

  factor: Callable
  stepwise: bool


def step_decay(every: int, factor: float = 0.1) -> Callable:
  """Learning-rate factor `factor ** (epoch // every)` (paper 000, section 4.2)."""
  if every < 1:
    raise ValueError(f'step_decay: every {every} epochs; expected at least 1')
  return lambda epoch: jnp.float32(factor) ** (epoch // every)


def schedule(
  kind: str,
  epochs: int,
  warmup: float = 0.0,
  every: int = 1,
  factor: float = 0.1,
) -> Schedule:
  """Makes a schedule of the learning rate, with a peak of 1.

  All but 'step' without warm-up change the rate at every step. Optax's schedules
  count steps; here they count epochs with their fraction, so that one function
  serves all lengths of an epoch.

  Args:
    kind: 'step', constant between drops by `factor` after every `every` epochs;
      'exponential', the same decay without steps, from the end of the warm-up
      on; 'cosine', half a cosine from the end of the warm-up to 0 at the end
      (Loshchilov & Hutter, "SGDR", ICLR 2017, Eq. 5, without restarts);
      'onecycle', half a cosine from 1/25 up to 1 and one down to 1/250000
      (Smith & Topin, "Super-convergence", 2018, as PyTorch has it).
    epochs: Epochs of the training.
    warmup: Epochs, perhaps a fraction, in which the rate rises: linearly from 0,
      'onecycle' as it says.
    every: Of 'step' and 'exponential', in epochs.
    factor: Of the same.

  Raises:
    ValueError: On an unknown kind or a warm-up that does not fit.
  """
  if kind not in SCHEDULES:
    known = ', '.join(SCHEDULES)
    raise ValueError(f'train.schedule={kind!r}: expected one of {known}')
  if not 0 <= warmup < epochs:
    raise ValueError(
      f'train.warmup_epochs={warmup}: expected 0 or more, and less than the '
      f'{epochs} epochs of the training'
    )
  if kind == 'step':
    return _step(warmup, every, factor)
  rise: Any = warmup  # optax's annotations count whole steps, it does not
  if kind == 'exponential':
    return Schedule(
      optax.warmup_exponential_decay_schedule(0, 1, rise, every, factor), True
    )
  if kind == 'cosine':
    return Schedule(
      optax.warmup_cosine_decay_schedule(0, 1, rise, epochs), True
    )
  return _onecycle(epochs, warmup)


def _step(warmup: Any, every: int, factor: float) -> Schedule:
  """Drops at whole epochs; a warm-up goes over them and delays none."""
  drops = step_decay(every, factor)
  if not warmup:
    return Schedule(drops, False)
  rise = optax.linear_schedule(0, 1, warmup)
  return Schedule(lambda epoch: rise(epoch) * drops(jnp.floor(epoch)), True)


def _onecycle(epochs: int, warmup: Any) -> Schedule:
  if not warmup:
    raise ValueError(
      "train.schedule='onecycle' rises first: set train.warmup_epochs, e.g. to "
      f'{0.3 * epochs:g} (PyTorch rises for 30 % of the training)'
    )
  fall = optax.cosine_decay_schedule(1, epochs - warmup, ONECYCLE_END)
  from_one = optax.cosine_decay_schedule(1, warmup)

  def rise(epoch):
    return 1 - (1 - ONECYCLE_START) * from_one(epoch)

  return Schedule(optax.join_schedules((rise, fall), (warmup,)), True)


def decays(params):
  """Which weights decay, as a tree of booleans: kernels, of two axes and more.

  Biases, the scales of BatchNorm and the slopes of PReLU are vectors.
  """
  return jax.tree.map(lambda x: x.ndim > 1, params)


def decoupled_decay(weight_decay: float) -> optax.GradientTransformation:
  """Adds `weight_decay` times the weights to `Packed` updates (AdamW).

  Behind Adam, and before the learning rate multiplies both (Loshchilov & Hutter,
  "Decoupled weight decay regularization", ICLR 2019, Algorithm 2).
  """
  inner = optax.add_decayed_weights(weight_decay, mask=decays)

  def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
    updates, state = inner.update(updates.tree(), state, params.tree())
    return pack(updates), state

  def init(params: Any):
    return inner.init(params.tree())

  return optax.GradientTransformation(init, update)


def with_decay(
  optimizer: optax.GradientTransformation, weight_decay: float
) -> optax.GradientTransformation:
  """An optimiser with decoupled weight decay; the same one for 0."""
  check_range('train.weight_decay', weight_decay, 0, float('inf'))
  if not weight_decay:
    return optimizer
  return optax.chain(optimizer, decoupled_decay(weight_decay))


def from_config(
  train, epochs: int = 0, select: str | None = None
) -> dict[str, Any]:
  """Reads what `Method` takes: schedule, stepwise, ema and select.

  Args:
    train: `config.train`; settings that it lacks are neutral.
    epochs: Epochs of the training; 0 for `train.epochs`.
    select: In the place of `train.select`, where that means something else.
  """
  made = schedule_from_config(train, epochs or train.epochs)
  ema, select = setting(train, 'ema'), select or setting(train, 'select')
  check_range('train.ema', ema, 0, 1)
  if select not in SELECT:
    known = ', '.join(SELECT)
    raise ValueError(f'train.select={select!r}: expected one of {known}')
  return {
    'schedule': made.factor,
    'stepwise': made.stepwise,
    'ema': ema,
    'select': select,
  }


def schedule_from_config(train, epochs: int) -> Schedule:
  """Reads the schedule of a training of some epochs."""
  return schedule(
    setting(train, 'schedule'),
    epochs,
    setting(train, 'warmup_epochs'),
    train.decay_every,
    train.decay_factor,
  )


def setting(part, name: str, of: str = 'train'):
  """A setting of `config.<of>`, neutral where a run is older than it."""
  return part.get(name, NEUTRAL[f'{of}.{name}'])


def check_range(name: str, value: float, low: float, high: float):
  """Raises ValueError unless low <= value < high."""
  if not low <= value < high:
    raise ValueError(
      f'{name}={value}: expected {low:g} or more, and less than {high:g}'
    )
