"""Models as ONNX files, run by ONNX Runtime: the same answers without JAX.

model = emojax.load('exported/model.onnx')
output = model.predict(images)      # as every other model
"""

import functools
import os
import pathlib
from typing import Any

import numpy as np

from emojax import tasks
from emojax.host import threads
from emojax.trained import onnx_file
from emojax.trained.answering import (
  LEARNED,
  Answering,
  ModelError,
  in_batches,
)

LEARNED_MEMBERS = 'learned/members'
# Of the machine's memory, what arrays of all graphs together may take: what asks for
# more is an error, before the system ends the process for it.
SHARE = 0.5


def logits_of(task: tasks.Task) -> str:
  """Name of the output with a task's logits of every member."""
  return f'{task.name}/logits'


class OnnxModel(Answering):
  """An exported model on ONNX Runtime; see `Answering`.

  Args:
    metadata: What it says of itself.
    session: ONNX Runtime's.

  Raises:
    ModelError: If inputs and outputs are not those of such a model.
  """

  def __init__(self, metadata: dict[str, Any], session: Any):
    super().__init__(metadata)
    self._session = session
    self._names = {logits_of(task): task.name for task in self.schema}
    found = {output.name for output in session.get_outputs()}
    if LEARNED_MEMBERS in found:
      self._names[LEARNED_MEMBERS] = LEARNED
    if missing := self._names.keys() - found:
      raise ModelError(f'the graph has no output {min(missing)!r}')
    shapes = {one.name: one.shape for one in session.get_inputs()}
    expected = {'image', 'audio'} if self.audio else {'image'}
    if shapes.keys() != expected or len(shapes['image']) not in (4, 5):
      raise ModelError(f'the graph has inputs {shapes}, not {expected}')
    self._stills = len(shapes['image']) == 4
    fixed = 1 if self._stills else shapes['image'][1]
    self._frames = fixed if isinstance(fixed, int) else None

  def logits(
    self,
    image,
    audio=None,
    batch: int = 16,
    samples: int = 0,
    seed: int = 0,
  ) -> dict[str, np.ndarray]:
    """Logits of every member; see `model.Model.logits`."""
    del seed
    if samples:
      raise ModelError(
        'an ONNX file has no stochastic passes (samples=0): load the folder '
        'with weights.safetensors for them'
      )
    inputs = self.inputs(image, audio)
    frames = inputs['image'].shape[1]
    if self._frames not in (None, frames):
      what = (
        'single images' if self._stills else f'clips of {self._frames} frames'
      )
      raise ModelError(
        f'this ONNX file answers {what}, not clips of {frames}: pass such, or '
        'load the folder with weights.safetensors'
      )
    if inputs['image'].shape[-1] == 1:
      inputs['image'] = inputs['image'].repeat(3, -1)
    if self._stills:
      inputs = {name: x[:, 0] for name, x in inputs.items()}
    return in_batches(self._run, inputs, batch)

  def _run(self, inputs: dict[str, np.ndarray], start: int):
    del start
    chosen = {k: np.ascontiguousarray(x) for k, x in inputs.items()}
    try:
      found = self._session.run(list(self._names), chosen)
    except Exception as error:  # ONNX Runtime's own kinds
      raise ModelError(f'the graph cannot be run: {_line(error)}') from error
    by_name = dict(zip(self._names.values(), found, strict=True))
    for name, array in by_name.items():
      self._check_shape(name, array, inputs['image'].shape)
    if self._stills:
      by_name = {name: x[:, :, None] for name, x in by_name.items()}
    return by_name

  def _check_shape(self, name: str, array, shape):
    lead = (self.num_members, *shape[: 1 if self._stills else 2])
    outputs = {task.name: (task.num_outputs,) for task in self.schema}
    expected = (*lead, *outputs.get(name, ()))
    if array.shape != expected or array.dtype != np.float32:
      raise ModelError(
        f'the graph gives {array.dtype} {array.shape} for {name}, not float32 '
        f'{expected}'
      )


def session(data: bytes) -> Any:
  """ONNX Runtime's session of a file's bytes.

  Raises:
    ModelError: If it cannot be opened.
    ImportError: Without ONNX Runtime.
  """
  try:
    import onnxruntime
  except ImportError as error:
    raise ImportError(f'{onnx_file.INSTALL} ({error})') from error
  _bound_memory()
  options = onnxruntime.SessionOptions()
  options.add_session_config_entry('session.use_env_allocators', '1')
  options.intra_op_num_threads = threads.cores()
  options.add_session_config_entry('session.intra_op.allow_spinning', '0')
  options.log_severity_level = 3
  try:
    return onnxruntime.InferenceSession(
      onnx_file.unpacked(data),
      options,
      providers=['CPUExecutionProvider'],
      # It would compute outside of the bounded memory; exports have folded theirs.
      disabled_optimizers=['ConstantFolding'],
    )
  except Exception as error:  # ONNX Runtime's own kinds
    raise ModelError(f'the graph cannot be opened: {_line(error)}') from error


@functools.cache
def _bound_memory():
  """Lets sessions share an arena that has an end; once in a process.

  Sizes are known only when a graph runs, so that it cannot be told from the file
  how much it asks for.
  """
  import onnxruntime

  most = int(SHARE * os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
  onnxruntime.create_and_register_allocator(
    onnxruntime.OrtMemoryInfo(
      'Cpu',
      onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
      0,
      onnxruntime.OrtMemType.DEFAULT,
    ),
    # 1: no more than is asked for; by default sizes are doubled.
    onnxruntime.OrtArenaCfg({'max_mem': most, 'arena_extend_strategy': 1}),
  )


def _line(error: Exception) -> str:
  return (str(error).splitlines() or [''])[0][:300]


def load(path: pathlib.Path, schema: tasks.Schema | None = None) -> OnnxModel:
  """Loads an ONNX file; see `loading.load`."""
  file = onnx_file.read(path)
  if schema is not None:
    tasks.check_schema(file.metadata['schema'], schema, str(path))
  try:
    return OnnxModel(file.metadata, session(file.data))
  except ModelError as error:
    raise ModelError(f'{path}: {error}') from error
