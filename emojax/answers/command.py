"""What the answers in a folder depend on, and in what two commands differ.

Needs no JAX, so that a folder that is finished, or of another command, is known
before a model is loaded.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import emojax
from emojax.answers.options import Files, OptionError, Options, flag, is_path
from emojax.faces import sources
from emojax.host import files


def of(
  metadata: Mapping[str, Any],
  asked: Options,
  written: Files,
  found: Sequence[sources.Source],
) -> dict[str, Any]:
  """Everything that the files of a folder depend on, as JSON.

  Args:
    metadata: What model.json says.
    asked: The options.
    written: What is written.
    found: The inputs.

  Raises:
    OptionError: If something is asked for that no other command can compare.
  """
  for name in ('boxes', 'detector'):
    if (value := getattr(asked, name)) is not None and not is_path(value):
      raise OptionError(
        f'{name}: a folder of answers asks for a file or a name, by which a '
        'stopped command goes on'
      )
  return {
    'emojax': emojax.__version__,
    'model': model_digest(metadata),
    'options': vars(asked),
    'boxes': _digest(asked.boxes),
    'detector': _digest(asked.detector),
    'files': vars(written),
    'inputs': len(found),
    'inputs_digest': _of_inputs(found),
  }


def model_digest(metadata: Mapping[str, Any]) -> str:
  """SHA-256 of what model.json says, the digests of its files among it."""
  said = json.dumps(metadata, sort_keys=True)
  return hashlib.sha256(said.encode()).hexdigest()


def _digest(path: Any) -> str | None:
  if path is None:
    return None
  try:
    with open(path, 'rb', opener=files.open_ending) as file:
      return hashlib.file_digest(file, 'sha256').hexdigest()
  except (OSError, ValueError):
    return None  # reading it will say why, or it is the name of a detector


def _of_inputs(found: Sequence[sources.Source]) -> str:
  """Of the facts of all inputs."""
  made = hashlib.sha256()
  for source in found:
    made.update(json.dumps(facts(source)).encode() + b'\n')
  return made.hexdigest()


def facts(source: sources.Source) -> list[Any]:
  """Name, size and time of an input: another file is another answer.

  Raises:
    OSError: If it is gone.
  """
  if source.kind == 'webcam':
    return [source.name, source.kind]
  stat = os.stat(source.path)
  return [source.name, source.kind, stat.st_size, stat.st_mtime_ns]


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """What differs between two commands, a phrase for each; [] if nothing does."""
  there = _with_defaults(there)
  keys = {k for k in there.keys() | now.keys() if there.get(k) != now.get(k)}
  if 'inputs' in keys:
    keys.discard('inputs_digest')  # their number says it
  made = []
  for key in sorted(keys):
    old, new = there.get(key), now.get(key)
    if key in ('options', 'files') and (
      isinstance(old, dict) and isinstance(new, dict)
    ):
      made += _flags(old, new)
    elif key not in ('boxes', 'detector') or (old and new):
      # Otherwise the option says it, or an older version made no digest.
      made.append(_phrase(key, old, new))
  return made


def _with_defaults(there: Mapping[str, Any]) -> dict[str, Any]:
  """Options that a folder of an older version does not know yet are at their
  defaults in it."""
  made = dict(there)
  for key, default in (('options', Options()), ('files', Files())):
    if isinstance(made.get(key), dict):
      plain = json.loads(json.dumps(vars(default)))
      made[key] = plain | made[key]
  return made


def _phrase(key: str, old: Any, new: Any) -> str:
  if key == 'model':
    return 'the model is another one'
  if key in ('boxes', 'detector') and old and new:
    return f'the file of --{key} has changed'
  if key == 'inputs_digest':
    return 'an input has changed, or has another name or place'
  names = {'inputs': 'number of inputs', 'emojax': 'version of emojax'}
  return f'{names.get(key, key)}: {_short(old)} there, {_short(new)} now'


def _flags(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
  """`--every 2 there, 1 now` of every option that differs."""
  return [
    _spelt(name, old.get(name), new.get(name))
    for name in sorted(old.keys() | new.keys())
    if old.get(name) != new.get(name)
  ]


def _spelt(name: str, old: Any, new: Any) -> str:
  if name in ('overlay', 'page'):
    name, old, new = f'no_{name}', not old, not new
  name = flag({'formats': 'format'}.get(name, name))
  return f'{name} {_value(old)} there, {_value(new)} now'


def _value(value: Any) -> str:
  if value is None:
    return 'not given'
  if isinstance(value, bool):
    return 'on' if value else 'off'
  if isinstance(value, list):
    return ','.join(map(str, value))
  return _short(value) if isinstance(value, dict) else str(value)


def _short(value: Any) -> str:
  text = json.dumps(value)
  return text if len(text) <= 80 else f'{text[:80]}...'
