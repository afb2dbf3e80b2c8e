"""What the engine hands to the evaluation: the logits of one generation."""

import dataclasses
import json
import os
import pathlib

import numpy as np

from emojax import tasks
from emojax.runtime import workdir
from emojax.tasks import schema_from_json

FORMAT = 'emojax-predictions-1'


@dataclasses.dataclass(eq=False)
class Predictions:
  """Logits of all members of one generation on several sets of clips.

  Attributes:
    name: Generation, 'Tea', 'Stu1', ...
    schema: Tasks that the logits belong to, in order.
    logits: `logits[set][task]` is float32 [M, N, L, task.num_outputs]. Sets are
      'val', 'test' and 'ood/<name>'.
    epochs: Selected epoch of every member, length M.
    mc: `mc[set][task]` is float32 [M, S, N, L, task.num_outputs], the logits of
      S stochastic passes (MC dropout) of every member; empty if not drawn.
  """

  name: str
  schema: tasks.Schema
  logits: dict[str, dict[str, np.ndarray]]
  epochs: list[int]
  mc: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    for kind, ndim in (('logits', 4), ('mc', 5)):
      for name, heads in getattr(self, kind).items():
        self._check_set(f'{self.name}: {kind}[{name!r}]', heads, ndim)

  def _check_set(self, where: str, heads: dict[str, np.ndarray], ndim: int):
    want = [task.name for task in self.schema]
    if sorted(heads) != sorted(want):
      raise ValueError(
        f'{where} has tasks {sorted(heads)}, its schema has {sorted(want)}; '
        'hand over one array per task'
      )
    for task in self.schema:
      shape = np.shape(heads[task.name])
      axes = 'M, N, L' if ndim == 4 else 'M, S, N, L'
      if (
        len(shape) != ndim
        or shape[-1] != task.num_outputs
        or shape[0] != self.num_members
      ):
        raise ValueError(
          f'{where}[{task.name!r}] has shape {shape}, expected '
          f'[{axes}, {task.num_outputs}] with M = {self.num_members}'
        )

  def check_finite(self, name: str, index: np.ndarray):
    """Raises ValueError if an output for a frame that counts is not finite.

    NaN would be sorted, compared and taken for the first class like a number.

    Args:
      name: A set.
      index: Positions [F] in its flattened [N * L] frames; padding may hold
        anything.
    """
    for kind in ('logits', 'mc'):
      for task, values in getattr(self, kind).get(name, {}).items():
        bad = {}
        for m, one in enumerate(values):
          flat = one.reshape(*one.shape[:-3], -1, one.shape[-1])
          finite = np.isfinite(flat[..., index, :]).all(-1)
          bad[m] = int((~finite).any(tuple(range(finite.ndim - 1))).sum())
        if any(bad.values()):
          members = ', '.join(f'{m} in {n}' for m, n in bad.items() if n)
          raise ValueError(
            f'{self.name}: {kind} of {task!r} in {name!r} are NaN or infinite '
            f'(of member {members} of {len(index)} frames): it has diverged; '
            'train again with a lower config.train.learning_rate'
          )

  @staticmethod
  def read_header(path: str | os.PathLike) -> tuple[tasks.Schema, int]:
    """Tasks and number of members of a file of `save`; errors are NumPy's."""
    with open(path, 'rb') as raw, np.load(raw, allow_pickle=False) as file:
      header = json.loads(str(file['header']))
      return schema_from_json(header['schema']), len(header['epochs'])

  @property
  def num_members(self) -> int:
    """M, the number of members."""
    return len(self.epochs)

  def save(self, path: str | os.PathLike):
    """Writes one .npz, atomically (a killed run leaves the old file or none)."""
    header = {
      'format': FORMAT,
      'name': self.name,
      'schema': [task.to_json() for task in self.schema],
      'epochs': [int(epoch) for epoch in self.epochs],
    }
    arrays = {
      f'{kind}/{name}/{task}': np.asarray(value, np.float32)
      for kind in ('logits', 'mc')
      for name, heads in getattr(self, kind).items()
      for task, value in heads.items()
    }
    arrays['header'] = np.array(json.dumps(header))
    workdir.write_arrays(pathlib.Path(path), arrays)

  @classmethod
  def load(
    cls, path: str | os.PathLike, schema: tasks.Schema | None = None
  ) -> 'Predictions':
    """Reads a file of `save`.

    Args:
      path: The .npz file.
      schema: If given, the label names that the file must have.

    Raises:
      ValueError: if it is another kind of file or its labels differ.
    """
    # Opened here: NumPy leaves files open that it cannot read.
    with open(path, 'rb') as raw, np.load(raw, allow_pickle=False) as file:
      if 'header' not in file:
        raise ValueError(f'{path}: no header; not written by Predictions.save')
      header = json.loads(str(file['header']))
      if header.get('format') != FORMAT:
        raise ValueError(
          f'{path}: format {header.get("format")!r}, expected {FORMAT!r}; '
          'write the predictions again with this version'
        )
      if schema is not None:
        tasks.check_schema(header['schema'], schema, str(path))
      found = {'logits': {}, 'mc': {}}
      for key in file.files:
        if key != 'header':
          # Set names may contain '/', kinds and tasks do not.
          kind, rest = key.split('/', 1)
          name, task = rest.rsplit('/', 1)
          found[kind].setdefault(name, {})[task] = file[key]
    return cls(
      name=header['name'],
      schema=schema_from_json(header['schema']),
      logits=found['logits'],
      epochs=header['epochs'],
      mc=found['mc'],
    )
