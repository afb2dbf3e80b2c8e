"""The jitted programs: whole generations, streamed pieces, predictions."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from emojax.engine import member
from emojax.engine.executables import Program
from emojax.engine.packing import unpack
from emojax.engine.stack import BATCH, MEMBER, ensemble_mean, map_members

STACKED, SHARED = P(MEMBER), P()
PRECISIONS = ('default', 'high', 'highest')


# Drawing weights runs once, so its compilation is what takes time: about forty
# generators, which XLA optimises for twice as long as it needs otherwise.
QUICK = {'xla_backend_optimization_level': 0}


def at_precision(fn: Callable, precision: str) -> Callable:
  """A function whose products and convolutions are traced at a precision.

  Args:
    fn: Of arrays. Gradients that it takes inside are of the same precision.
    precision: 'default', which leaves JAX's own setting, 'high' or 'highest'
      (`jax.lax.Precision`). JAX takes names of number formats, too, and means these
      levels by them: 'bfloat16' is TF32 on a GPU.

  Raises:
    ValueError: On another precision.
  """
  if precision not in PRECISIONS:
    raise ValueError(
      f'precision {precision!r}: expected one of {", ".join(PRECISIONS)}'
    )
  if precision == 'default':
    return fn

  def traced(*args):
    with jax.default_matmul_precision(precision):
      return fn(*args)

  return traced


def _program(
  fn,
  mesh,
  in_specs,
  out_specs,
  donate=(),
  options=None,
  precision='default',
) -> Program:
  fn = at_precision(fn, precision)
  # Gradients and statistics use explicit collectives, so variance checking
  # has nothing to add; without it the same functions run under pmap.
  mapped = jax.shard_map(
    fn, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False
  )

  def shardings(specs):
    return jax.tree.map(
      lambda spec: NamedSharding(mesh, spec),
      specs,
      is_leaf=lambda x: isinstance(x, P),
    )

  # Stated shardings, or a state that comes back from a program would differ
  # from a fresh one in how its sharding is written, and compile it anew.
  jitted = jax.jit(
    mapped,
    in_shardings=shardings(in_specs),
    out_shardings=shardings(out_specs),
    donate_argnums=donate,
    compiler_options=options,
  )
  return Program(fn, mesh, jitted, (in_specs, out_specs, donate, options))


def init_program(method: member.Method, mesh, chunk: int) -> Program:
  """Returns the jitted `keys [M] -> stack of fresh members`."""

  def program(keys):
    def init(key, _):
      return member.init(method, key)

    return map_members(init, chunk)(keys, ())

  options = QUICK if jax.default_backend() == 'cpu' else None
  return _program(program, mesh, STACKED, STACKED, options=options)


def _soft_labels(method, state, inputs, predict_chunk):
  best = member.predict_with(method, state.best.params, state.best.model_state)

  def predict(x):
    return method.soft_labels(best(x))

  return member.predict_rows(method, predict, inputs, predict_chunk)


def generation_program(
  method: member.Method,
  mesh,
  chunk: int,
  predict_chunk: int,
  precision: str = 'default',
) -> Callable:
  """The one program that trains every generation, in whole or in segments.

  For `precision`, here and below, see `at_precision`.

  Returns:
    A jitted function of (state, hparams, weight, plan, num_epochs, num_steps,
    last, train, val) -> (state, logs, soft labels). `state`, `hparams` and
    `weight` (1 for members, 0 for padding) are stacked [M, ...]; `plan` is
    int32 [M, E, K, B]; `last` says whether to predict the ensemble's soft
    labels for the training clips after training (zeros otherwise); `train` and
    `val` are as in `member.train_epochs`. The state is donated.
  """

  def one(stacked, shared):
    # Validation and soft labels predict alike: traced once.
    predict = jax.jit(method.predict, inline=True)
    once = dataclasses.replace(method, predict=predict)
    state, hparams, plan = stacked
    num_epochs, num_steps, last, train, val = shared
    state, logs = member.train_epochs(
      once,
      state,
      hparams,
      plan,
      num_epochs,
      num_steps,
      train,
      val,
      predict_chunk,
    )

    @functools.partial(jax.jit, inline=True)  # traced once
    def label(state, inputs):
      return _soft_labels(once, state, inputs, predict_chunk)

    shapes = jax.eval_shape(label, state, train.inputs)

    def zeros(*_):
      return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    soft = jax.lax.cond(last, label, zeros, state, train.inputs)
    return state, logs, soft

  def program(
    state, hparams, weight, plan, num_epochs, num_steps, last, train, val
  ):
    shared = (num_epochs, num_steps, last, train, val)
    state, logs, soft = map_members(one, chunk)((state, hparams, plan), shared)
    mean = functools.partial(ensemble_mean, weight=weight, axis=MEMBER)
    return state, logs, jax.tree.map(mean, soft)

  plan_spec = P(MEMBER, None, None, BATCH)
  in_specs = (STACKED, STACKED, STACKED, plan_spec, *([SHARED] * 5))
  out_specs = (STACKED, STACKED, SHARED)
  return _program(program, mesh, in_specs, out_specs, 0, precision=precision)


def steps_program(
  method: member.Method, mesh, chunk: int, precision: str = 'default'
) -> Callable:
  """Streaming: trains on a chunk of rows that the host has gathered.

  Returns:
    A jitted function of (state, sums, hparams, plan int32 [M, K, B], num_steps,
    rows) -> (state, sums), with rows [M, shards * R, ...] and the plan's
    indices counting within the R rows of a batch device. State and sums are
    donated.
  """

  def one(stacked, num_steps):
    state, sums, hparams, plan, rows = stacked
    return member.train_steps(
      method, state, sums, hparams, plan, num_steps, rows
    )

  def program(state, sums, hparams, plan, num_steps, rows):
    stacked = (state, sums, hparams, plan, rows)
    return map_members(one, chunk)(stacked, num_steps)

  plan_spec = P(MEMBER, None, BATCH)
  rows_spec = P(MEMBER, BATCH)
  in_specs = (STACKED, STACKED, STACKED, plan_spec, SHARED, rows_spec)
  return _program(
    program, mesh, in_specs, STACKED, donate=(0, 1), precision=precision
  )


def finish_program(method: member.Method, mesh, chunk: int) -> Callable:
  """Streaming: ends an epoch from validation outputs.

  Returns:
    A jitted function of (state, sums, num_steps, outputs [M, ...], targets) -> (state, log). The state is donated.
  """

  def one(stacked, shared):
    state, sums, outputs = stacked
    num_steps, targets = shared
    return member.finish_epoch(method, state, sums, num_steps, outputs, targets)

  def program(state, sums, num_steps, outputs, targets):
    stacked = (state, sums, outputs)
    return map_members(one, chunk)(stacked, (num_steps, targets))

  in_specs = (STACKED, STACKED, SHARED, STACKED, SHARED)
  return _program(program, mesh, in_specs, STACKED, donate=0)


def predict_program(
  method: member.Method,
  mesh,
  chunk: int,
  predict_chunk: int,
  precision: str = 'default',
) -> Program:
  """Predictions.

  Returns:
    A jitted function of (params, model_state, inputs, count) -> outputs
    [M, N, ...]; from clip `count` on the inputs are padding, and outputs mean
    nothing. Weights are trees, or `Packed` as a state has them.
  """

  def one(stacked, shared):
    predict = member.predict_with(method, *stacked)
    return member.predict_rows(
      method, predict, shared[0], predict_chunk, shared[1]
    )

  def program(params, model_state, inputs, count):
    return map_members(one, chunk)((params, model_state), (inputs, count))

  in_specs = (STACKED, STACKED, SHARED, SHARED)
  return _program(program, mesh, in_specs, STACKED, precision=precision)


def sample_program(
  method: member.Method,
  mesh,
  chunk: int,
  predict_chunk: int,
  predict: bool = False,
  precision: str = 'default',
) -> Program:
  """Stochastic passes (MC dropout).

  Returns:
    A jitted function of (params, model_state, keys [M, S], inputs, count) ->
    outputs [M, S, N, ...]; with `predict` -> (outputs [M, N, ...] without
    randomness, these). `count` as in `predict_program`. Whatever does not depend
    on the key, such as a trunk below the first dropout, is computed once for all
    of them.
  """

  def one(stacked, shared):
    *weights, keys = stacked
    inputs, count = shared

    def passes(chunk_and_number):
      x, number = chunk_and_number
      params, model_state = unpack(weights)

      def draw(key, *head):
        return method.sample(
          params, model_state, x, jax.random.fold_in(key, number[0]), *head
        )

      heads = (jnp.arange(len(keys)),) if method.heads else ()
      samples = jax.vmap(draw)(keys, *heads)
      samples = jax.tree.map(lambda s: jnp.moveaxis(s, 0, 1), samples)
      return samples, method.predict(params, model_state, x) if predict else ()

    num = jax.tree.leaves(inputs)[0].shape[0]
    numbers = jnp.arange(num) // predict_chunk  # a new mask for every chunk
    samples, outputs = member.predict_rows(
      method, passes, (inputs, numbers), predict_chunk, count
    )
    samples = jax.tree.map(lambda s: jnp.moveaxis(s, 1, 0), samples)
    return (outputs, samples) if predict else samples

  def program(params, model_state, keys, inputs, count):
    stacked = (params, model_state, keys)
    return map_members(one, chunk)(stacked, (inputs, count))

  in_specs = (STACKED, STACKED, STACKED, SHARED, SHARED)
  return _program(program, mesh, in_specs, STACKED, precision=precision)
