"""Model cards hold what data sets and people name as text."""

import copy
import json

import pytest

from emojax.trained import card as model_card

HOSTILE = (
  '<img src=x onerror=alert(1)>',
  '![x](http://example.org/pixel.png)',
  '[click](javascript:alert(1))',
  'x\n\n# title\n\n<script>',
  '`code`',
  'a|b',
)


@pytest.fixture(scope='module')
def metadata(exported):
  return json.loads((exported / 'model.json').read_text())


def spoiled(metadata, text):
  """A description in which whatever may be named is named by a text."""
  made = copy.deepcopy(metadata)
  made |= {'generation': text, 'trained_on': text, 'notes': [text]}
  made['model']['name'] = text
  made['preprocessing']['audio'] = text
  for task in made['schema']:
    task['labels'][0] = text
  made['schema'][1]['name'] = text
  made['temperatures'][text] = made['temperatures'].pop('expr')
  made['versions']['trained_with'] = {
    key: text for key in ('emojax', 'revision', 'jax', 'flax', 'device_kind')
  }
  return made


def results(text):
  scores = {'expr/acc': 0.5}
  found = {
    'num_members': 2,
    'single_mean': scores,
    'single_std': scores,
    'ensemble': scores,
    'ood': {text: {'ensemble/epistemic': 0.5}},
  }
  head = {'split': text, 'dataset': text, 'num_frames': 3}
  return {'generations': {text: found}, **head}


@pytest.mark.parametrize('text', HOSTILE)
def test_names_stay_text(metadata, text):
  card = model_card.render(spoiled(metadata, text), results(text), 100)
  plain = model_card.render(spoiled(metadata, 'x'), results('x'), 100)
  assert card.count('\n') == plain.count('\n')
  assert card.count('\n#') == plain.count('\n#')
  # Outside of code and escapes nothing is left of it.
  bare = ''.join(card.split('`')[::2]) if '`' not in text else card
  for bad in ('](', ' <', '(<'):
    assert bad not in bare
  assert card.count('|') - card.count('\\|') == plain.count('|')
