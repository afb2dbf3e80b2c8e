"""Models that are in this package: `emojax.load('ferplus')`."""

import difflib
import pathlib

FOLDER = pathlib.Path(__file__).parents[1] / 'weights'


def names() -> list[str]:
  """Their names, in order."""
  return sorted(path.parent.name for path in FOLDER.glob('*/model.json'))


def path(name: str) -> pathlib.Path | None:
  """Folder of the model of a name; None if there is no such one."""
  return FOLDER / name if name in names() else None


def on_hub(name: str) -> bool:
  """Whether it is `hf://user/name`; a path of pathlib has lost a slash."""
  return name.startswith('hf:/')


def find(name: str) -> pathlib.Path:
  """Where a model is: in this package, on the hub (`hf://user/name`), a folder.

  Raises:
    ModelError: If the hub's cannot be had.
  """
  if on_hub(name):
    from emojax.trained import hub  # which imports JAX

    return hub.fetch(name)
  return path(name) or pathlib.Path(name)


def unknown(name: str) -> str:
  """What to say of a name that is neither a model's nor a folder's."""
  near = difflib.get_close_matches(name.lower(), names(), 1)
  hint = f'; did you mean {near[0]}?' if near else ''
  return (
    f'{name} holds no exported model: there is no such folder, and this package '
    f'has {", ".join(names())}{hint}'
  )
