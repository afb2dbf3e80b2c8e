"""Settings that are paths on somebody's machine, of which others see the last part."""

import pathlib
from collections.abc import Mapping
from typing import Any

PATHS = ('data.path', 'data.ood_path', 'model.pretrained', 'distill.teachers')
FOLDERS = ('data.external.', 'data.external_stills.')  # a path for each subset


def shareable(settings: Mapping[str, Any]) -> dict[str, Any]:
  """Flat settings without the places of files and folders.

  Variants of a study are assignments ('data.path=FOLDER'), and so treated alike.
  """
  return {name: _shown(name, value) for name, value in settings.items()}


def _shown(name: str, value: Any) -> Any:
  if isinstance(value, (list, tuple)):
    return type(value)(_assigned(one) for one in value)
  if isinstance(value, str) and _is_path(name):
    return _last(value)
  return value


def _assigned(value: Any) -> Any:
  name, equals, text = str(value).partition('=')
  if isinstance(value, str) and equals and _is_path(name):
    return f'{name}={_last(text)}'
  return value


def _is_path(name: str) -> bool:
  return name in PATHS or name.startswith(FOLDERS)


def _last(paths: str) -> str:
  return ','.join(pathlib.PurePath(one).name for one in paths.split(','))
