"""emojax's side of the benchmarks: the engine's own programs, compiled once."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import problem as problems
from benchmarks import workers
from emojax import models, tasks
from emojax.data.clips.clips import Clips
from emojax.data.transform.augment import augmentation
from emojax.engine import member, methods, programs, stack
from emojax.engine.trainer import Settings, Trainer
from emojax.models import folding
from emojax.runtime import compilation

PyTree = Any


def method(size: int, lowering='auto', dropout=0.5, block=0) -> member.Method:
  """Paper 000 with EMENet-V of width 1; as with PyTorch, nothing is augmented."""
  model = models.build(
    'emenet_v', problems.SCHEMA, size, lowering=lowering, dropout=dropout
  )
  return methods.multitask(
    folding.with_block(model, block),
    problems.SCHEMA,
    augment=augmentation('none'),
    bin_values=tasks.bin_values(),
    schedule=methods.step_decay(10**6),
    balance='off',
  )


def clips(image: np.ndarray, values: dict[str, np.ndarray]) -> Clips:
  """Images and labels of `problem.Problem` as a data set."""
  num, length = image.shape[:2]
  names = np.array([str(i) for i in range(num)])
  mask = np.ones((num, length), np.float32)
  return Clips(image, None, problems.targets(values), mask, names, names)


def hparams(members: int) -> dict[str, np.ndarray]:
  """Equal weights of all labels, for all members."""
  sizes = {task.name: len(task.labels) for task in problems.SCHEMA}
  return {
    'learning_rate': np.full(members, problems.LEARNING_RATE, np.float32),
    'pos_weight': np.ones((members, sizes['au']), np.float32),
    'class_weight': np.ones((members, sizes['expr']), np.float32),
  }


def set_up(spec):
  """Devices and compilation cache; before anything is computed.

  Raises:
    WorkerError: If several CPU devices are wanted beside an accelerator.
  """
  compilation.set_cache(spec['cache'])
  jax.config.update('jax_num_cpu_devices', spec['devices'])
  if len(jax.devices()) < spec['devices']:
    raise workers.WorkerError(
      f'{spec["devices"]} devices are wanted but this machine has '
      f'{len(jax.devices())} of kind {jax.default_backend()}'
    )


def trainer(data: problems.Problem, spec) -> Trainer:
  """A trainer with resident data; its validation set is a single frame.

  Args:
    data: The problem.
    spec: 'members'; 'chunk', members vectorised at a time, -1 for the default
      and 0 for all; 'lowering' of convolutions; 'devices' to spread the
      members over.
  """
  chunk = stack.default_chunk() if spec['chunk'] < 0 else spec['chunk']
  frame = {name: value[:1, :1] for name, value in data.values.items()}
  val = clips(data.image[:1, :1], frame)
  return Trainer(
    method(data.image.shape[2], spec['lowering']),
    Settings(spec['members'], epochs=10**6, chunk=chunk, predict_chunk=1),
    stack.make_mesh(spec['devices']),
    clips(data.image, data.values),
    val,
    val.targets,
  )


def fresh(m: member.Method, members: int = 1) -> member.MemberState:
  """A stack of equal members, on the host.

  Only one is drawn: that program is compiled once for all sizes of a stack.
  """
  init = programs.init_program(m, stack.make_mesh(1), 1)
  state = jax.device_get(init(jax.random.split(jax.random.key(0), 1)))
  return jax.tree.map(lambda x: np.repeat(x, members, axis=0), state)


def compiled(function, *args):
  """The executable, and the seconds that tracing and compiling took."""
  start = time.perf_counter()
  lowered = function.lower(*args)
  traced = time.perf_counter()
  executable = lowered.compile()
  end = time.perf_counter()
  return executable, {'trace': traced - start, 'compile': end - traced}


def training(spec) -> tuple[Callable[[int], None], dict]:
  """Makes `run(steps)`: one epoch by the generation program.

  Every call validates on one frame, which is within its time.
  """
  set_up(spec)
  members = spec['members']
  data = problems.make(spec['size'], spec['frames'], members, workers.MAX_STEPS)
  t = trainer(data, spec)
  s, mesh = t.settings, t.mesh
  weight = np.arange(stack.padded_size(members, mesh)) < members
  before = (
    t.place(hparams(members)),
    stack.put(weight.astype(np.float32), mesh, stack.MEMBER),
    t.place(data.plan[:, None], None, None, stack.BATCH),
    t.share(np.int32(1)),
  )
  after = (
    t.share(np.bool_(False)),
    *(
      t.share(member.Rows({'image': c.image}, c.targets))
      for c in (t.train, t.val)
    ),
  )
  state = t.place(fresh(t.method, members))
  # The program loops over as many steps as it is told: one compilation.
  execute, facts = compiled(
    programs.generation_program(t.method, mesh, s.chunk, s.predict_chunk),
    state,
    *before,
    t.share(np.int32(1)),
    *after,
  )

  def run(steps):
    nonlocal state
    number = t.share(np.int32(steps))
    state, _, _ = execute(state, *before, number, *after)
    jax.block_until_ready(state)

  return run, facts


def gradients(m: member.Method, image, values) -> dict[str, PyTree]:
  """Loss and gradients of one batch, logits without batch statistics.

  Returns:
    'params', 'loss', 'gradients' (a tree like the parameters) and 'logits'.
  """
  state = jax.tree.map(lambda x: x[0], fresh(m))
  params, model_state = state.params.tree(), state.model_state.tree()
  weights = {k: v[0] for k, v in hparams(1).items()}
  weights['task_weight'] = state.balance.weights
  batch = {'inputs': {'image': image}, 'targets': problems.targets(values)}
  step = jax.jit(jax.value_and_grad(m.objective, has_aux=True))
  (loss, _), grads = step(
    params, model_state, batch, jax.random.key(0), weights
  )
  logits = jax.jit(m.predict)(params, model_state, batch['inputs'])
  found = {'loss': loss, 'gradients': grads, 'logits': logits}
  return {'params': params} | jax.device_get(found)
