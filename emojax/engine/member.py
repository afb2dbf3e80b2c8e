"""The member program: train one network for some epochs, as one function.

Everything here works on a single member without a leading axis; `stack.py`
maps it over members and devices. Loops run a *traced* number of times, so XLA
neither unrolls nor re-specialises them and the result does not depend on how a
generation is cut into calls.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from emojax.engine import task_balance
from emojax.engine.packing import Packed, pack, unpack
from emojax.tasks import Targets

PyTree = Any
NEVER = jnp.iinfo(jnp.int32).max


class Objective(Protocol):
  """What one training step minimises.

  `batch` has 'inputs' (dictionary of arrays [B, ...]) and 'targets'; `hparams`
  holds the member's own numbers, among them 'task_weight' [tasks]. The result is
  the loss and auxiliary values with 'model_state' (the new one) and 'losses' (a
  dictionary of scalars to log).
  """

  def __call__(
    self,
    params: PyTree,
    model_state: PyTree,
    batch: PyTree,
    key: jax.Array,
    hparams: dict[str, jax.Array],
  ) -> tuple[jax.Array, dict[str, Any]]: ...


class Rows(NamedTuple):
  """A set of clips on the device: all of them, or a streamed chunk.

  `inputs` may have more clips than `targets`: padding to whole chunks, which
  no plan refers to. Padded frames and missing labels have mask 0 in `targets`.
  """

  inputs: dict[str, jax.Array]
  targets: Targets

  def take(self, index: jax.Array) -> dict[str, Any]:
    return jax.tree.map(lambda x: x[index], self._asdict())


class Best(NamedTuple):
  """The best finite epoch so far; `score` is its total, or less its NLL."""

  score: jax.Array
  epoch: jax.Array
  params: Packed
  model_state: Packed


class Averaged(NamedTuple):
  """The optimiser's state with a moving average of the weights (`Method.ema`).

  Without an average a state holds the optimiser's alone, so that its checkpoints
  are those of before.
  """

  opt_state: PyTree
  params: Packed
  model_state: Packed


class MemberState(NamedTuple):
  """All that a member carries from step to step.

  Weights and the model's state are vectors (packing.py). `key` is raw key data,
  so that checkpoints hold plain arrays; `first_bad` is the first step whose loss
  of each name was not finite, or the largest int32.
  """

  params: Packed
  model_state: Packed
  opt_state: PyTree
  key: jax.Array
  step: jax.Array
  epoch: jax.Array
  balance: task_balance.State
  best: Best
  first_bad: dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Method:
  """The pure functions that make a training method.

  Attributes:
    init: `key -> (params, model_state)`.
    objective: See `Objective`.
    optimizer: Gradient transformation without the learning rate, of `Packed`
      gradients: by element, or with `Packed.tree` where layers differ.
    schedule: `epoch -> factor` on the member's 'learning_rate'.
    stepwise: Whether the schedule takes epochs with their fraction, and changes
      the rate at every step. The trainer adds `hparams['epoch_steps']` then.
    ema: Decay of a moving average of weights and statistics, which is validated,
      kept and predicted with in their place; 0 for none.
    predict: `(params, model_state, inputs) -> outputs`, without randomness.
    sample: `(params, model_state, inputs, key) -> outputs`, one stochastic
      pass (MC dropout).
    heads: Members that a network has inside it. `sample` then takes the number of
      the pass, too, and passes are as many or a multiple of it; 0 for none.
    score: `(outputs, targets) -> scores`, scalars; one selects the best epoch.
    select: Name of that score: 'total', of which more is better, or 'nll', of
      which less is.
    task_scores: `scores -> [tasks]`, what Algorithm 1 watches.
    soft_labels: `outputs -> {task: values}`, the student's targets.
    tasks: Names of the tasks, in order.
    loss_names: Names of the losses that the objective logs.
    balance_variant: 'paper' or 'published' Algorithm 1, 'off' for equal weights.
    axis_name: Mesh axis over which a batch is split, None without one.
    patience: A member stops learning after this many epochs in a row without a
      better score of `select` (early stopping, paper 002); 0 for never.
  """

  init: Callable
  objective: Objective
  optimizer: optax.GradientTransformation
  schedule: Callable
  predict: Callable
  sample: Callable
  score: Callable
  task_scores: Callable
  soft_labels: Callable
  tasks: tuple[str, ...]
  loss_names: tuple[str, ...]
  balance_variant: str = 'paper'
  axis_name: str | None = None
  patience: int = 0
  stepwise: bool = False
  ema: float = 0.0
  select: str = 'total'
  heads: int = 0


def init(method: Method, key: jax.Array) -> MemberState:
  """Returns the state of a member before its first step."""
  init_key, train_key = jax.random.split(key)
  params: Any  # `Packed` is a pytree, but none of optax's annotations
  params, model_state = map(pack, method.init(init_key))
  best = Best(jnp.float32(-jnp.inf), jnp.int32(0), params, model_state)
  opt_state = method.optimizer.init(params)
  if method.ema:
    opt_state = Averaged(opt_state, params, model_state)
  state = MemberState(
    params=params,
    model_state=model_state,
    opt_state=opt_state,
    key=jax.random.key_data(train_key),
    step=jnp.int32(0),
    epoch=jnp.int32(0),
    balance=task_balance.init(method.tasks, method.balance_variant),
    best=best,
    first_bad={name: jnp.int32(NEVER) for name in method.loss_names},
  )
  # Without weak types: a state has the same type before and after training.
  return jax.tree.map(lambda x: jax.lax.convert_element_type(x, x.dtype), state)


def _mean_over_batch_axis(method: Method, tree: PyTree) -> PyTree:
  if method.axis_name is None:
    return tree
  return jax.lax.pmean(tree, method.axis_name)


def weights(state: MemberState) -> tuple[Packed, Packed]:
  """(params, model_state) to predict with: their average where there is one."""
  if isinstance(state.opt_state, Averaged):
    return state.opt_state.params, state.opt_state.model_state
  return state.params, state.model_state


def _epochs_behind(method: Method, state: MemberState, hparams) -> jax.Array:
  """What the schedule takes: the epoch, with the part of it that is over.

  Whole epochs are counted, not divided: XLA may multiply by a reciprocal, and
  after three epochs of 7 steps be at 3.0000002.
  """
  if not method.stepwise:
    return state.epoch
  steps = hparams['epoch_steps']
  over = (state.step - state.epoch * steps).astype(jnp.float32)
  return state.epoch.astype(jnp.float32) + over / steps.astype(jnp.float32)


def _update_average(
  method: Method, old: Averaged, opt_state, params, model_state, step
) -> Averaged:
  """One step of the moving average, a <- d a + (1 - d) w.

  The decay d grows with the steps behind, min(ema, (1 + step) / (10 + step)), or
  the first weights would stay in the average for long (TensorFlow's
  ExponentialMovingAverage). Statistics of normalisation are averaged as weights
  are; what is not a floating-point number is taken as it is.
  """
  step = step.astype(jnp.float32)
  decay = jnp.minimum(method.ema, (1 + step) / (10 + step))

  def move(average, new):
    if not jnp.issubdtype(new.dtype, jnp.floating):
      return new
    return (decay * average + (1 - decay) * new).astype(new.dtype)

  average = jax.tree.map(move, old[1:], (params, model_state))
  return Averaged(opt_state, *average)


def train_step(
  method: Method,
  state: MemberState,
  batch: PyTree,
  hparams: dict[str, jax.Array],
) -> tuple[MemberState, dict[str, jax.Array]]:
  """One optimiser step; returns the new state and the logged losses."""
  key = jax.random.wrap_key_data(state.key)
  key = jax.random.fold_in(key, state.step)
  hparams = {**hparams, 'task_weight': state.balance.weights}
  (_, aux), grads = jax.value_and_grad(method.objective, has_aux=True)(
    state.params.tree(), state.model_state.tree(), batch, key, hparams
  )
  grads = pack(grads)
  # Every shard differentiates the same global loss (the objective gathers the
  # outputs), so the mean of the shards' gradients is the global gradient.
  grads = _mean_over_batch_axis(method, grads)
  old = state.opt_state
  params: Any = state.params  # as in `init`
  updates, opt_state = method.optimizer.update(
    grads, old.opt_state if method.ema else old, params
  )
  epoch = _epochs_behind(method, state, hparams)
  rate = hparams['learning_rate'] * method.schedule(epoch)
  params = jax.tree.map(lambda p, u: p - rate * u, state.params, updates)
  model_state = pack(aux['model_state'])
  if method.ema:
    opt_state = _update_average(
      method, old, opt_state, params, model_state, state.step
    )
  losses = {name: aux['losses'][name] for name in method.loss_names}
  first_bad = {
    name: jnp.where(
      jnp.isfinite(loss),
      state.first_bad[name],
      jnp.minimum(state.first_bad[name], state.step),
    )
    for name, loss in losses.items()
  }
  state = state._replace(
    params=params,
    model_state=model_state,
    opt_state=opt_state,
    step=state.step + 1,
    first_bad=first_bad,
  )
  return state, losses


def stopped(method: Method, state: MemberState) -> jax.Array:
  """Whether early stopping has ended this member's training."""
  stale = state.epoch - 1 - state.best.epoch  # -1 before the first epoch
  return stale >= method.patience


def train_steps(
  method: Method,
  state: MemberState,
  sums: dict[str, jax.Array],
  hparams: dict[str, jax.Array],
  plan: jax.Array,
  num_steps: jax.Array,
  rows: Rows,
) -> tuple[MemberState, dict[str, jax.Array]]:
  """Runs the first `num_steps` rows of a plan int32 [K, B].

  A member that has stopped runs none: the others of its stack go on, and how a
  generation is cut into calls changes nothing.

  Returns:
    The new state, and `sums` with every step's losses added.
  """

  def body(k, carry):
    state, sums = carry
    state, losses = train_step(method, state, rows.take(plan[k]), hparams)
    return state, jax.tree.map(jnp.add, sums, losses)

  if method.patience:
    num_steps = jnp.where(stopped(method, state), 0, num_steps)
  return jax.lax.fori_loop(0, num_steps, body, (state, sums))


def zero_sums(method: Method) -> dict[str, jax.Array]:
  """Start of the sums that `train_steps` adds to."""
  return {name: jnp.float32(0) for name in method.loss_names}


def predict_with(method: Method, *weights: PyTree) -> Callable:
  """`method.predict` with given weights, which are unpacked where it is called.

  Inside a loop they are then parts of the vectors that the loop carries: what
  only scales and shifts is read in its place, not copied out beforehand.
  """
  return lambda inputs: method.predict(*unpack(weights), inputs)


def predict_rows(
  method: Method,
  predict: Callable,
  inputs: PyTree,
  chunk: int,
  count: jax.Array | None = None,
) -> PyTree:
  """Applies `predict` to every clip, `chunk` at a time to bound the memory.

  With a batch axis every shard takes its share of the chunks and all shards
  get all outputs.

  Args:
    method: The training method.
    predict: `inputs of a chunk -> outputs [chunk, ...]`.
    inputs: Arrays [N, ...]; N a multiple of `chunk` times the batch devices.
    chunk: Clips per call of the model.
    count: Number of clips that are asked for, int32, if the rest are padding:
      the network is not applied to chunks of padding alone, whose outputs are 0.
  """
  folded = jax.tree.map(lambda x: x.reshape(-1, chunk, *x.shape[1:]), inputs)
  axis, first = method.axis_name, 0
  if axis is not None:
    here, size = jax.lax.axis_index(axis), jax.lax.axis_size(axis)
    share = jax.tree.leaves(folded)[0].shape[0] // size
    first = here * share
    folded = jax.tree.map(
      lambda x: jax.lax.dynamic_slice_in_dim(x, first, share), folded
    )
  if count is None:
    outputs = jax.lax.map(predict, folded)
  else:
    outputs = _map_until(predict, folded, -(-count // chunk) - first)
  outputs = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), outputs)
  if axis is not None:
    outputs = jax.lax.all_gather(outputs, axis, tiled=True)
  return outputs


@jax.custom_batching.custom_vmap
def _any(true: jax.Array) -> jax.Array:
  """A truth value; of members side by side the one value that all of them have."""
  return true


@_any.def_vmap
def _any_member(size: int, batched, true: jax.Array) -> tuple[jax.Array, bool]:
  del size, batched
  return jnp.any(true), False


def _map_until(fn: Callable, xs: PyTree, end: jax.Array) -> PyTree:
  """`lax.map` over [K, ...] that leaves zeros from element `end` on."""
  fn = jax.jit(fn, inline=True)  # traced once
  one = jax.tree.map(lambda x: x[0], xs)
  shapes = jax.eval_shape(fn, one)

  def zeros(_):
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

  def step(numbered):
    number, x = numbered
    return jax.lax.cond(number < end, fn, zeros, x)

  length = jax.tree.leaves(xs)[0].shape[0]
  return jax.lax.map(step, (jnp.arange(length), xs))


def isolated(fn: Callable, true: jax.Array, *args) -> PyTree:
  """`fn(*args)` as a branch, so that XLA compiles it by itself.

  Merged with what reads its results, it may be computed several times, and
  round differently in segments of different lengths. It is one branch for a whole
  stack, too: by a value of each member XLA would compute it in any case, and select.

  Args:
    fn: A function without gradient.
    true: A traced value that is always true.
    *args: Arguments of `fn`.
  """
  fn = jax.jit(fn, inline=True)  # traced once
  shapes = jax.eval_shape(fn, *args)

  def never(*_):
    return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

  return jax.lax.cond(_any(true), fn, never, *args)


def finish_epoch(
  method: Method,
  state: MemberState,
  sums: dict[str, jax.Array],
  steps: jax.Array,
  outputs: dict[str, jax.Array],
  targets: Targets,
) -> tuple[MemberState, dict[str, jax.Array]]:
  """Algorithm 1 and best-epoch selection after a validation pass.

  Returns:
    The new state and the epoch's log: mean losses, scores, task weights used.
  """
  num = jax.tree.leaves(targets)[0].shape[0]
  outputs = jax.tree.map(lambda x: x[:num], outputs)  # without the padding
  scores = isolated(method.score, steps >= 0, outputs, targets)
  log = {f'loss/{k}': v / steps for k, v in sums.items()}
  log |= {f'val/{name}': score for name, score in scores.items()}
  for i, task in enumerate(method.tasks):
    log[f'task_weight/{task}'] = state.balance.weights[i]
  merit = scores['total'] if method.select == 'total' else -scores['nll']
  improved = (merit > state.best.score) & jnp.isfinite(merit)
  current = Best(merit, state.epoch, *weights(state))
  best = jax.tree.map(
    lambda new, old: jnp.where(improved, new, old), current, state.best
  )
  balance = state.balance
  if method.balance_variant != 'off':
    balance = task_balance.update(
      balance, method.task_scores(scores), variant=method.balance_variant
    )
  log['best'] = improved.astype(jnp.float32)
  if method.patience:
    log['stopped'] = stopped(method, state).astype(jnp.float32)
  return state._replace(best=best, balance=balance, epoch=state.epoch + 1), log


def train_epochs(
  method: Method,
  state: MemberState,
  hparams: dict[str, jax.Array],
  plan: jax.Array,
  num_epochs: jax.Array,
  num_steps: jax.Array,
  train: Rows,
  val: Rows,
  chunk: int,
) -> tuple[MemberState, dict[str, jax.Array]]:
  """The member program on resident data: train, validate, select, repeat.

  Args:
    method: The training method.
    state: The member.
    hparams: The member's own numbers.
    plan: int32 [E, K, B] clip indices.
    num_epochs: Epochs to train, at most E.
    num_steps: Steps of an epoch, at most K.
    train: Training clips.
    val: Rows clips.
    chunk: Clips per validation call of the model.

  Returns:
    The new state, and the log as arrays [E].
  """

  # Traced once: a jitted function remembers what it has traced, first for the
  # shape of the log and then for the loop.
  @functools.partial(jax.jit, inline=True)
  def epoch(state, plan, hparams, num_steps, train, val):
    state, sums = train_steps(
      method, state, zero_sums(method), hparams, plan, num_steps, train
    )
    outputs = predict_rows(
      method,
      predict_with(method, *weights(state)),
      val.inputs,
      chunk,
    )
    return finish_epoch(method, state, sums, num_steps, outputs, val.targets)

  shared = (hparams, num_steps, train, val)

  def body(e, carry):
    state, logs = carry
    state, log = epoch(state, plan[e], *shared)
    return state, jax.tree.map(lambda xs, x: xs.at[e].set(x), logs, log)

  _, log = jax.eval_shape(epoch, state, plan[0], *shared)
  logs = jax.tree.map(lambda x: jnp.zeros((plan.shape[0],)), log)
  return jax.lax.fori_loop(0, num_epochs, body, (state, logs))
