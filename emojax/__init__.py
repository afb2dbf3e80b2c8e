"""emojax: emotion recognition that knows when it does not know."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # nothing is imported before it is asked for
  from emojax import tasks
  from emojax.answers.table import Table
  from emojax.trained.answering import Answering

__version__ = '0.1.0'


def load(
  folder: 'str | os.PathLike[str]', schema: 'tasks.Schema | None' = None
) -> 'Answering':
  """Loads a model that `python -m emojax.export` wrote, or one of this package.

  `load('ferplus')`, `load('exported/first')`, `load('hf://user/name')`, or
  `load('model.onnx')`, which is run by ONNX Runtime, without JAX; see
  `emojax.trained.loading.load`.
  """
  from emojax.trained import loading

  return loading.load(folder, schema)


def predict(
  inputs: Any,
  model: 'str | os.PathLike[str] | Answering' = 'ferplus',
  **options: Any,
) -> 'Table':
  """Finds faces and says what people would say of them.

  The same numbers as `emojax predict` writes, and as `load(model).predict` gives
  for the same crops of faces.

  Args:
    inputs: Paths of pictures, videos and folders, one or several; or pictures,
      uint8 [H, W, 3], one or several.
    model: A model by name, the folder or ONNX file of an exported one, or what
      `load` gave.
    **options: As the flags of the command, e.g. `crops=True`, `every=5`, `start`
      and `stop` in seconds; see `emojax.answers.options.Options`.

  Returns:
    An `emojax.answers.table.Table`: columns by name, each a NumPy array with a
    row for each face in each frame. `.problems` has what could not be read,
    `.to_pandas()` makes a DataFrame.

  Raises:
    ValueError: If an option, the model or an input is of no use; says why.
  """
  from emojax.answers import options as answers_options
  from emojax.answers import run

  made: Any = model
  if not hasattr(made, 'predict'):
    made = load(made)
  return run.table(made, answers_options.named(options), inputs)
