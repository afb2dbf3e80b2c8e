"""The head of a model card, in YAML, as model hubs read it.

Keys are those of Hugging Face's model cards: what library loads the model, what it
is for, what it was trained on, and what was measured (`model-index`).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from emojax.host.terminal import one_line

LIBRARY = 'emojax'
MAX_HEAD = 1 << 16  # characters; YAML takes its time
MAX_LICENCE = 200
UNKNOWN = 'unknown'  # a licence that nobody has stated yet
TAGS = (
  'emotion-recognition',
  'facial-expressions',
  'uncertainty',
  'jax',
  'flax',
)
# Names that hubs have for metrics; the others keep the names of results.json.
METRICS = {
  'expr/acc': 'accuracy',
  'expr/f1': 'f1',
  'au/f1': 'f1',
  'hard/acc': 'accuracy',
}


class Score(NamedTuple):
  """A number that was measured.

  Attributes:
    key: Name of the metric, as in results.json.
    title: What people read.
    value: Of the whole model: of the ensemble, where there are several members.
  """

  key: str
  title: str
  value: float


class Measured(NamedTuple):
  """Scores on a part of a data set.

  Attributes:
    dataset: Name of the data set.
    split: Of which part of it; '' if there is only one.
    scores: In the order of the card.
  """

  dataset: str
  split: str
  scores: Sequence[Score]


def render(
  metadata: Mapping[str, Any],
  measured: Measured | None,
  license: Mapping[str, str] | None = None,
) -> str:
  """The head with its lines of dashes.

  Args:
    metadata: model.json.
    measured: None if nothing was.
    license: `license` and, with 'other', `license_name`; unknown if None, as
      nobody but who publishes a model can state one.
  """
  kind = pipeline(metadata)
  trained_on = plain(metadata['trained_on'])
  name = plain(f'{metadata["model"]["name"]} {metadata["generation"]}')
  head: dict[str, Any] = {
    'library_name': LIBRARY,
    'pipeline_tag': kind,
    **(license or {'license': UNKNOWN}),
    'tags': list(TAGS),
  }
  if trained_on:
    head['datasets'] = [trained_on]
  if measured is not None and measured.scores:
    head['metrics'] = list(
      dict.fromkeys(METRICS.get(s.key, s.key) for s in measured.scores)
    )
    head['model-index'] = [
      {'name': name or LIBRARY, 'results': [_result(kind, measured)]}
    ]
  # Longer than any line: a text that goes on in the next one might look like
  # the end of the head.
  text = yaml.safe_dump(head, sort_keys=False, width=1 << 20)
  return f'---\n{text}---\n\n'


def pipeline(metadata: Mapping[str, Any]) -> str:
  """What hubs call the task: of clips or of single images."""
  stills = metadata['preprocessing'].get('clip_length', 1) == 1
  return 'image-classification' if stills else 'video-classification'


def _result(kind: str, measured: Measured) -> dict[str, Any]:
  name = plain(measured.dataset) or UNKNOWN
  dataset = {'type': name.replace(' ', '-').lower(), 'name': name}
  if split := plain(measured.split):
    dataset['split'] = split
  return {
    'task': {'type': kind, 'name': 'Emotion recognition'},
    'dataset': dataset,
    'metrics': [
      {
        'type': METRICS.get(score.key, score.key),
        'value': round(float(score.value), 4),
        'name': score.title,
      }
      for score in measured.scores
    ],
  }


def plain(text: str) -> str:
  """A name without what YAML, Markdown or HTML could take for anything else."""
  return ' '.join(re.sub(r'[^\w.+ -]+', ' ', str(text)).split()).strip(' .-')


def without_scores(card: str) -> str:
  """A card whose head says of no measurement; without a head as it is.

  Raises:
    ValueError: As `read`.
  """
  head = read(card)
  if not head.keys() & {'metrics', 'model-index'}:
    return card
  kept = {k: v for k, v in head.items() if k not in ('metrics', 'model-index')}
  _, _, body = re.split(r'(?m)^---[ \t]*\r?$', card, maxsplit=2)
  return f'---\n{yaml.safe_dump(kept, sort_keys=False, width=1 << 20)}---{body}'


class _Loader(yaml.SafeLoader):
  """Reads plain data without aliases.

  Some hundred bytes of them stand for millions of values, which are written out
  where keys are merged, or where anybody asks for their text.
  """

  def compose_node(self, parent: Any, index: Any):
    if self.check_event(yaml.AliasEvent):
      raise ValueError('aliases (*name): write the values out')
    return super().compose_node(parent, index)


def licence(head: Mapping[str, Any]) -> str:
  """The licence that a head names in one line; unknown where it names none."""
  found = head.get('license')
  if not isinstance(found, str) or not found.strip():
    return UNKNOWN
  return one_line(found.strip(), MAX_LICENCE)


def read(card: str) -> dict[str, Any]:
  """The head of a card as a dictionary; {} if it has none.

  Raises:
    ValueError: If it is not the YAML of an object, is long or has aliases.
  """
  found = re.match(r'---\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)', card, re.DOTALL)
  if found is None:
    return {}
  if len(found[1]) > MAX_HEAD:
    raise ValueError(f'the head of the card is longer than {MAX_HEAD:,}')
  try:
    head = yaml.load(found[1], _Loader)
  except Exception as error:  # constructors of values raise many types
    line = ' '.join(str(error).split())[:200]
    raise ValueError(f'the head of the card is no YAML: {line}') from error
  if not isinstance(head, dict):
    raise ValueError('the head of the card is no YAML object')
  return head
