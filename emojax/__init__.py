"""emojax: emotion recognition that knows when it does not know."""

__version__ = '0.1.0'


def load(folder, schema=None):
  """Loads a model that `python -m emojax.export` wrote, or one of this package.

  `load('ferplus')`; see `emojax.trained.model.load`.
  """
  from emojax.trained import model as pretrained

  return pretrained.load(folder, schema)
