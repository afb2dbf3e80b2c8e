"""Host side of training: data onto the mesh, one generation in segments.

A `Trainer` compiles its programs once and trains every generation with them.
Data are resident on the devices, or streamed: the host gathers the rows of the
next steps while the devices compute. Both follow the same plan and run the same
step, and train the same numbers; soft labels may differ in their last digit.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from emojax.engine import member, programs, sources, stack
from emojax.engine import plan as plans
from emojax.engine.optimisation import setting
from emojax.engine.packing import pack, unpack
from emojax.host import processes

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Settings:
  """How a stack is trained; see configs/gen.py for what each is good for.

  Attributes:
    members: M.
    epochs: Epochs of a generation.
    seed: Seed of the run.
    epochs_per_call: Epochs per call of the generation program; 0 for all.
    chunk: Members vectorised at a time (`stack.map_members`).
    predict_chunk: Clips per call of the model without gradients.
    stream_steps: Steps whose rows are gathered at a time; 0 for resident data.
    precision: Of products and convolutions (`programs.at_precision`).
  """

  members: int
  epochs: int
  seed: int = 0
  epochs_per_call: int = 1
  chunk: int = 1
  predict_chunk: int = 16
  stream_steps: int = 0
  precision: str = 'default'


def settings_from_config(
  config, members: int, epochs: int, predict_chunk: int = 0
) -> Settings:
  """Reads what a trainer needs.

  Args:
    config: Of an experiment, with `seed` and `runtime`.
    members: M.
    epochs: Epochs, at most where members may stop early.
    predict_chunk: Clips per call without gradients; 0 for the configuration's.
  """
  r = config.runtime
  return Settings(
    members=members,
    epochs=epochs,
    seed=config.seed,
    epochs_per_call=r.epochs_per_call,
    chunk=stack.default_chunk() if r.member_chunk < 0 else r.member_chunk,
    predict_chunk=predict_chunk or r.predict_clips,
    stream_steps=r.stream_steps,
    precision=setting(r, 'precision', 'runtime'),
  )


class Generation(NamedTuple):
  """What changes from one generation to the next.

  Attributes:
    number: 0 for teachers, k for the k-th generation of students.
    groups: Clip indices of the subsets that a batch draws from.
    clips_per_group: Clips that a batch takes of each.
    steps: Steps of an epoch.
    targets: Hard labels or the previous ensemble's soft labels, [N, L, ...].
    hparams: Per-member numbers, arrays [M, ...].
    soft_labels: Whether to predict soft labels for the next generation.
  """

  number: int
  groups: Sequence[np.ndarray]
  clips_per_group: int
  steps: int
  targets: PyTree
  hparams: dict[str, np.ndarray]
  soft_labels: bool = True


class Segment(NamedTuple):
  """State of the stack after some epochs.

  `logs` are arrays [M, epochs of this segment]; `soft_labels` [N, ...] comes
  with the last segment only, and only if they are wanted.
  """

  epoch: int
  state: member.MemberState
  logs: dict[str, np.ndarray]
  soft_labels: PyTree | None


@functools.partial(jax.jit, static_argnums=(0, 2))
def member_keys(seed: int, generation: int, members: int) -> jax.Array:
  """Keys [M] of a generation's members; member m's depends on nothing else."""
  base = jax.random.fold_in(jax.random.key(seed), generation)
  fold = functools.partial(jax.random.fold_in, base)
  return jax.vmap(fold)(jnp.arange(members))


class Trainer:
  """Trains and predicts with stacks of members of one method.

  Args:
    method: The training method.
    settings: See `Settings`.
    mesh: Mesh ('member', 'batch').
    train: Training clips (`engine.sources.ClipSource`).
    val: Validation clips.
    val_targets: Targets of all validation clips.
  """

  def __init__(self, method, settings: Settings, mesh, train, val, val_targets):
    self.method, self.settings, self.mesh = method, settings, mesh
    self.train, self.val, self.val_targets = train, val, val_targets
    self._size = stack.padded_size(settings.members, mesh)
    # Predictions go through the model in whole chunks on every batch device.
    self._multiple = settings.predict_chunk * mesh.shape[stack.BATCH]

  # Programs are built when first used: prediction alone compiles no training.

  @functools.cached_property
  def _init(self) -> Callable:
    return programs.init_program(self.method, self.mesh, self.settings.chunk)

  @functools.cached_property
  def _generation(self) -> Callable:
    s = self.settings
    return programs.generation_program(
      self.method, self.mesh, s.chunk, s.predict_chunk, s.precision
    )

  @functools.cached_property
  def _steps(self) -> Callable:
    s = self.settings
    return programs.steps_program(self.method, self.mesh, s.chunk, s.precision)

  @functools.cached_property
  def _finish(self) -> Callable:
    return programs.finish_program(self.method, self.mesh, self.settings.chunk)

  @functools.cached_property
  def _predict(self) -> Callable:
    s = self.settings
    return programs.predict_program(
      self.method, self.mesh, s.chunk, s.predict_chunk, s.precision
    )

  @functools.cached_property
  def _sample(self) -> Callable:
    return self._sampling(predict=False)

  @functools.cached_property
  def _predict_and_sample(self) -> Callable:
    return self._sampling(predict=True)

  def _sampling(self, predict: bool) -> Callable:
    s = self.settings
    return programs.sample_program(
      self.method, self.mesh, s.chunk, s.predict_chunk, predict, s.precision
    )

  @functools.cached_property
  def _resident(self) -> tuple[dict[str, jax.Array], member.Rows]:
    """Training inputs and validation rows, on the devices once and for all."""
    train = sources.padded_inputs(self.train, self._multiple)
    val = sources.padded_inputs(self.val, self._multiple)
    return self.share(train), self.share(member.Rows(val, self.val_targets))

  def place(self, tree: PyTree, *axes) -> PyTree:
    """Puts a stack [M, ...] from the host onto the mesh.

    Args:
      tree: Arrays with a leading member axis.
      *axes: Mesh axes of the other axes, None where they are not split.
    """
    padded = stack.pad_members(tree, self._size)
    return stack.put(padded, self.mesh, stack.MEMBER, *axes)

  def place_weights(
    self, weights: Mapping[str, PyTree]
  ) -> tuple[PyTree, PyTree]:
    """Weights from the host onto the mesh, packed as a state has them.

    Args:
      weights: 'params' and 'model_state' -> trees with leading member axes.

    Returns:
      (params, model_state), as predictions take them.
    """
    parts = weights['params'], weights['model_state']
    packed = jax.vmap(lambda *trees: tuple(map(pack, trees)))(*parts)
    return self.place(jax.device_get(packed))

  def share(self, tree: PyTree) -> PyTree:
    """Puts arrays without a member axis onto every device."""
    return stack.put(tree, self.mesh)

  def fetch(self, tree: PyTree) -> PyTree:
    """Brings a stack to the host: NumPy [M, ...], unpacked, without padding."""
    return unpack(self._fetch(tree))

  def _fetch(self, tree: PyTree) -> PyTree:
    whole = stack.gather(tree, self.mesh)
    return stack.unpad_members(whole, self.settings.members)

  def portable(self, tree: PyTree) -> PyTree:
    """A stack for checkpoints: on the host, or spread over the processes.

    Of several processes each writes what its own devices hold, padding and all;
    nothing is gathered.
    """
    return self._fetch(tree) if processes.count() == 1 else tree

  def shapes(self, tree: PyTree) -> PyTree:
    """Shapes and types of a stack without its padding."""

    def shape(x):
      return jax.ShapeDtypeStruct(
        (self.settings.members, *x.shape[1:]), x.dtype
      )

    return jax.tree.map(shape, tree)

  def init(self, generation: int) -> member.MemberState:
    """Returns the fresh members of a generation."""
    keys = member_keys(self.settings.seed, generation, self._size)
    return self._init(stack.put(keys, self.mesh, stack.MEMBER))

  def segments(
    self, generation: Generation, state: member.MemberState, epoch: int = 0
  ) -> Iterator[Segment]:
    """Trains a generation from `epoch` on; yields after every segment.

    Args:
      generation: What to train on.
      state: The stack on the mesh. It is donated: do not use it again.
      epoch: Epochs that the state has behind it.
    """
    s = self.settings
    run = self._streamed if s.stream_steps else self._one_program
    while True:
      epochs = range(
        epoch, min(epoch + (s.epochs_per_call or s.epochs), s.epochs)
      )
      last = epochs.stop == s.epochs
      state, logs, soft = run(generation, state, epochs, last)
      epoch = epochs.stop
      yield Segment(epoch, state, self.fetch(logs), soft)
      if last:
        return

  def _plan(self, generation: Generation, epochs: range) -> np.ndarray:
    s, g = self.settings, generation
    batch = len(g.groups) * g.clips_per_group
    devices = self.mesh.shape[stack.BATCH]
    if batch % devices:
      raise ValueError(
        f'a batch of {batch} clips cannot be split evenly over {devices} '
        'devices: change config.runtime.batch_devices or '
        'config.train.clips_per_task'
      )
    return plans.stack_plan(
      s.seed,
      g.number,
      range(s.members),
      epochs,
      g.groups,
      g.steps,
      g.clips_per_group,
    )

  def lower(self, generation: Generation) -> jax.stages.Lowered:
    """The program of a generation's first segment, to look at."""
    s = self.settings
    epochs = range(min(s.epochs_per_call or s.epochs, s.epochs))
    keys = member_keys(s.seed, generation.number, self._size)
    state = self._init.eval_shape(keys)
    return self._generation.lower(
      state, *self._arguments(generation, epochs, False)
    )

  def _hparams(self, generation: Generation) -> dict[str, jax.Array]:
    """The members' own numbers on the mesh, with those a schedule needs."""
    hparams = dict(generation.hparams)
    if self.method.stepwise:
      steps = np.full(self.settings.members, generation.steps, np.int32)
      hparams['epoch_steps'] = steps
    return self.place(hparams)

  def _arguments(self, generation, epochs, label: bool) -> tuple:
    """Arguments of the generation program after the state."""
    s = self.settings
    inputs, val = self._resident
    plan = self._plan(generation, epochs)
    # One shape for every segment, so that there is one compilation.
    missing = (s.epochs_per_call or s.epochs) - len(epochs)
    plan = np.pad(plan, ((0, 0), (0, missing), (0, 0), (0, 0)))
    weight = np.arange(self._size) < s.members
    return (
      self._hparams(generation),
      stack.put(weight.astype(np.float32), self.mesh, stack.MEMBER),
      self.place(plan, None, None, stack.BATCH),
      jnp.int32(len(epochs)),
      jnp.int32(generation.steps),
      jnp.bool_(label),
      member.Rows(inputs, self.share(generation.targets)),
      val,
    )

  def _one_program(self, generation, state, epochs, last):
    """A segment as one call of the generation program."""
    label = last and generation.soft_labels
    state, logs, soft = self._generation(
      state, *self._arguments(generation, epochs, label)
    )
    logs = jax.tree.map(lambda x: x[:, : len(epochs)], logs)
    if not label:
      return state, logs, None
    soft = stack.gather(soft, self.mesh)
    soft = jax.tree.map(lambda x: x[: len(self.train)], soft)
    return state, logs, soft

  def _streamed(self, generation, state, epochs, last):
    """A segment step by step, on rows that the host gathers meanwhile."""
    logs = []
    for plan in np.moveaxis(self._plan(generation, epochs), 1, 0):
      state, log = self._streamed_epoch(generation, state, plan)
      logs.append(log)
    if logs:  # none when only the soft labels of a resumed run are missing
      logs = jax.tree.map(lambda *x: jnp.stack(x, axis=1), *logs)
    soft = None
    if last and generation.soft_labels:
      best = state.best
      soft = self.ensemble_labels(best.params, best.model_state, self.train)
    return state, logs, soft

  def _streamed_epoch(self, generation, state, plan):
    names = self.method.loss_names
    sums = {name: np.zeros(self._size, np.float32) for name in names}
    sums = stack.put(sums, self.mesh, stack.MEMBER)
    hparams = self._hparams(generation)
    # Every process reads the clips of its own members and parts of batches.
    split = (stack.MEMBER, None, stack.BATCH)
    plan = stack.pad_members(plan, self._size)
    plan = stack.local_part(plan, self.mesh, *split)
    shards = len(stack.local_places(self.mesh, stack.BATCH))
    chunks = sources.stream(
      self.train,
      generation.targets,
      plan,
      self.settings.stream_steps,
      shards,
    )
    for rows, local_plan, steps in chunks:
      state, sums = self._steps(
        state,
        sums,
        hparams,
        stack.put_part(local_plan, self.mesh, *split),
        jnp.int32(steps),
        stack.put_part(
          member.Rows(*rows), self.mesh, stack.MEMBER, stack.BATCH
        ),
      )
    outputs = self.predict(*member.weights(state), self.val)
    return self._finish(
      state,
      sums,
      jnp.int32(generation.steps),
      self.place(outputs),
      self.share(self.val_targets),
    )

  def predict(self, params, model_state, source) -> PyTree:
    """Outputs of every member for every clip, NumPy [M, N, ...]."""
    return self._in_blocks(
      lambda *block: self._predict(params, model_state, *block), source, 1
    )

  def sample(self, params, model_state, source, key, samples: int) -> PyTree:
    """Stochastic outputs of every member, NumPy [M, S, N, ...].

    Every block of clips draws masks of its own.
    """
    keys = self._block_keys(key, samples)
    return self._in_blocks(
      lambda *block: self._sample(params, model_state, next(keys), *block),
      source,
      2,
    )

  def predict_and_sample(
    self, params, model_state, source, key, samples: int, keep: bool = True
  ) -> tuple[PyTree, PyTree]:
    """Both of the above by one program, which runs a network's trunk once.

    Without `keep` the stochastic outputs are () and never held for all clips:
    that is cheaper than compiling a program that only predicts, which streaming
    has anyway. They are () without samples, too.
    """
    if not samples or (not keep and self.settings.stream_steps):
      return self.predict(params, model_state, source), ()
    keys = self._block_keys(key, samples)

    def run(*block):
      found = self._predict_and_sample(params, model_state, next(keys), *block)
      return found if keep else (found[0], ())

    return self._in_blocks(run, source, (1, 2))

  def _block_keys(self, key, samples: int) -> Iterator[jax.Array]:
    """Keys [M, S] on the mesh, of one block of clips after the other."""
    if self.method.heads and samples % self.method.heads:
      raise ValueError(
        f'{samples} passes of networks with {self.method.heads} heads: some heads '
        'would count more than others; ask for as many passes, or a multiple'
      )
    keys = jax.random.split(key, (self._size, samples))
    fold = jax.vmap(
      jax.vmap(lambda k, b: jax.random.fold_in(k, b), (0, None)), (0, None)
    )
    for block in itertools.count():
      yield stack.put(fold(keys, block), self.mesh, stack.MEMBER)

  def ensemble_labels(
    self, params, model_state, source, soft_labels: Callable | None = None
  ) -> PyTree:
    """The ensemble's soft labels for a source, NumPy [N, ...].

    Args:
      params: On the mesh.
      model_state: On the mesh.
      source: The clips.
      soft_labels: In place of the method's, outputs -> labels.
    """
    label = jax.jit(soft_labels or self.method.soft_labels)

    def run(*block):
      soft = label(self._predict(params, model_state, *block))
      return jax.tree.map(
        lambda x: x[: self.settings.members].mean(0)[None], soft
      )

    labels = self._in_blocks(run, source, 1)
    return jax.tree.map(lambda x: x[0], labels)

  def member_labels(
    self, params, model_state, source, labels: Callable
  ) -> PyTree:
    """What every member says of a source, NumPy [M, N, ...].

    Args:
      params: On the mesh.
      model_state: On the mesh.
      source: The clips.
      labels: Outputs -> what is kept of them.
    """
    label = jax.jit(labels)
    return self._in_blocks(
      lambda *block: label(self._predict(params, model_state, *block)),
      source,
      1,
    )

  def _in_blocks(self, run: Callable, source, axes) -> PyTree:
    """Runs over a source in equal blocks and joins the outputs.

    Args:
      run: Inputs of a block on the mesh, how many clips count -> outputs.
      source: The clips.
      axes: Axis of the clips in the outputs, or one for each part of a tuple.
    """
    blocks = []
    for block in sources.blocks(source, self._multiple):
      blocks.append(self.fetch(run(*self.share(block))))

    def join(axis, *parts):
      return jax.tree.map(lambda *x: _joined(x, axis, len(source)), *parts)

    return jax.tree.map(join, axes, *blocks)


def _joined(blocks: Sequence[np.ndarray], axis: int, length: int) -> np.ndarray:
  """The first `length` clips of some blocks, joined along the clips' axis."""
  keep = (slice(None),) * axis + (slice(length),)
  return np.concatenate(blocks, axis)[keep]
