"""emojax: emotion recognition that knows when it does not know."""

__version__ = '0.1.0'


def load(folder, schema=None):
  """Loads a model that `python -m emojax.export` wrote, or one of this package.

  `load('ferplus')`, `load('exported/')`, or `load('model.onnx')`, which is run by
  ONNX Runtime, without JAX; see `emojax.trained.loading.load`.
  """
  from emojax.trained import loading

  return loading.load(folder, schema)


def predict(inputs, model='ferplus', **options):
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

  if not hasattr(model, 'predict'):
    model = load(model)
  return run.table(model, answers_options.named(options), inputs)
