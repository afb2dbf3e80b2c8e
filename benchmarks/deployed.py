"""An exported ensemble of EMENet-V as it is used: by emojax, by ONNX Runtime."""

import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import jax
import numpy as np

from benchmarks import engine, workers
from benchmarks import problem as problems
from emojax import tasks
from emojax.engine.packing import unpack
from emojax.interchange import translate
from emojax.trained import deployed
from emojax.trained.model import Model


def model(size: int, members: int, lowering: str = 'auto') -> Model:
  """A model of stills, of members that differ: equal ones may be computed once."""
  state = engine.fresh(engine.method(size), members)
  params, model_state = unpack((state.params, state.model_state))
  factor = 1 + np.float32(0.001) * np.arange(members, dtype=np.float32)
  params = jax.tree.map(
    lambda x: x * factor.reshape(-1, *[1] * (x.ndim - 1)), params
  )
  metadata: dict[str, Any] = {
    'schema': [task.to_json() for task in problems.SCHEMA],
    'members': list(range(members)),
    'model': {'name': 'emenet_v', 'options': {}},
    'preprocessing': {
      'image_size': size, 'channels': 3, 'audio': None, 'clip_length': 1,
    },
    'bin_values': np.asarray(tasks.bin_values()).tolist(),
    'thresholds': {'uncertainty': {}, 'decision': {}},
    'temperatures': None,
  }  # fmt: skip
  weights = {'params': params, 'model_state': model_state}
  return Model(metadata, weights, lowering)


def stills(spec) -> np.ndarray:
  """uint8 [N, H, W, 3]."""
  return problems.images(spec['size'], spec['frames'])[0]


def prediction(spec) -> tuple[Callable[[int], None], dict]:
  """Makes `run(times)`: logits of all members by `Model.logits`."""
  engine.set_up(spec)
  made, image = model(spec['size'], spec['members']), stills(spec)[:, None]
  start = time.perf_counter()
  made.logits(image, batch=len(image))

  def run(times):
    for _ in range(times):
      made.logits(image, batch=len(image))

  return run, {'compile': time.perf_counter() - start}


def onnx_runtime(spec) -> tuple[Callable[[int], None], dict]:
  """Makes `run(times)`: the exported graph, in the fastest way.

  Threads are inside every operation, or each core has a stream of its own, for a
  part of the stills.

  Raises:
    WorkerError: Without the packages.
  """
  try:
    import onnxruntime
  except ModuleNotFoundError as error:
    raise workers.WorkerError(
      "ONNX Runtime is not installed: pip install -e '.[onnx]'"
    ) from error
  engine.set_up(spec)
  made = model(spec['size'], spec['members'], 'conv')
  said = deployed.signature(made.metadata)
  graph = translate.model(deployed.function(made), said.inputs, said.symbols)
  data, image = graph.SerializeToString(), stills(spec)
  names = [f'{task.name}/logits' for task in problems.SCHEMA]
  del made, graph
  jax.clear_caches()
  cores = spec['threads']

  def way(threads: int) -> Callable[[], None]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
      data, options, providers=['CPUExecutionProvider']
    )
    parts = np.array_split(image, min(len(image), cores // threads))

    def one(part):
      return session.run(names, {'image': part})

    def run():
      with futures.ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(one, parts))

    return run

  ways = {f'{cores} threads in every operation': way(cores)}
  if cores > 1:
    ways['a stream per core'] = way(1)
  chosen = workers.fastest(ways)

  def run(times):
    for _ in range(times):
      ways[chosen]()

  return run, {'note': chosen}
