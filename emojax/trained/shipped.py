"""Models that are in this package: `emojax.load('ferplus')`."""

import difflib
import pathlib

from emojax.trained.answering import ModelError

FOLDER = pathlib.Path(__file__).parents[1] / 'weights'


def names() -> list[str]:
  """Their names, in order."""
  return sorted(path.parent.name for path in FOLDER.glob('*/model.json'))


def path(name: str) -> pathlib.Path | None:
  """Folder of the model of a name; None if there is no such one.

  Raises:
    ModelError: If a folder of that name here holds a model, too.
  """
  if name not in names():
    return None
  ours, theirs = FOLDER / name, pathlib.Path(name)
  if _holds_model(theirs) and not theirs.samefile(ours):
    # `Path('./ferplus')` is the same text as the name: only texts can tell.
    raise ModelError(
      f'{name} is a model of this package, and the folder {name} here holds '
      f'another one: write ./{name} (in Python as text) for the folder, {ours} for '
      "the package's, or give the folder another name"
    )
  return ours


def _holds_model(folder: pathlib.Path) -> bool:
  return (folder / 'model.json').exists() or any(folder.glob('*.onnx'))


def on_hub(name: str) -> bool:
  """Whether it is `hf://user/name`; a path of pathlib has lost a slash."""
  return name.startswith('hf:/')


def find(name: str) -> pathlib.Path:
  """Where a model is: in this package, on the hub (`hf://user/name`), a folder.

  Raises:
    ModelError: If the hub's cannot be had, or a name means two of them.
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
