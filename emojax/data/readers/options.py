"""Options of the readers: keyword arguments, read from their signatures."""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from emojax.data.readers.files.problems import DataError


@dataclasses.dataclass(frozen=True)
class Option:
  """A keyword argument of a reader.

  Attributes:
    name: Key of `--option key=value`.
    default: Default; its type is the option's type (bool, int, float, str).
    help: Its paragraph in the docstring's Args section.
  """

  name: str
  default: Any
  help: str

  def parse(self, value: Any) -> Any:
    """Returns a value of the default's type; strings are converted."""
    kind = type(self.default)
    if kind is float and type(value) is int:
      return float(value)
    if type(value) is kind:
      return value
    if not isinstance(value, str):
      raise ValueError(value)
    if kind is bool:
      return {'true': True, 'false': False}[value.lower()]
    return kind(value)


def introspect(function: Callable[..., Any]) -> dict[str, Option]:
  """Returns the keyword-only arguments of `function` as options."""
  texts = _arguments(function.__doc__ or '')
  return {
    key: Option(key, value.default, texts.get(key, ''))
    for key, value in inspect.signature(function).parameters.items()
    if value.kind is inspect.Parameter.KEYWORD_ONLY
  }


def _arguments(doc: str) -> dict[str, str]:
  """Paragraphs of the 'Args:' section of a docstring, by argument."""
  section = re.search(r'Args:\n((?:    .*\n?|\n)*)', doc)
  if section is None:
    return {}
  body = textwrap.dedent(section.group(1))
  items = re.findall(r'^(\w+): (.*(?:\n+ +.*)*)', body, re.MULTILINE)
  return {key: ' '.join(text.split()) for key, text in items}


def parse(
  known: Mapping[str, Option], given: Mapping[str, Any], who: str
) -> dict[str, Any]:
  """Returns all options, given ones converted to their types.

  Raises:
    DataError: An unknown name, or a value that is not of the option's type.
  """
  values = {key: option.default for key, option in known.items()}
  for key, value in given.items():
    if key not in known:
      names = ', '.join(known) or 'no options'
      raise DataError(f'option {key!r}', f'options of {who}: {names}')
    try:
      values[key] = known[key].parse(value)
    except (ValueError, KeyError):
      kind = type(known[key].default).__name__
      found = f'option {key}={value!r}'
      raise DataError(found, f'a value of type {kind} for {who}') from None
  return values
