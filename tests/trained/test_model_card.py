"""Model cards hold what data sets and people name as text."""

import copy
import json

import pytest
import yaml

from emojax.trained import card as model_card
from emojax.trained import front_matter

HOSTILE = (
  '<img src=x onerror=alert(1)>',
  '![x](http://example.org/pixel.png)',
  '[click](javascript:alert(1))',
  'x\n\n# title\n\n<script>',
  '`code`',
  'a|b',
  '---\n# title',
  'x\n---\n',
  'x: {[',
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


def head(text):
  """The head of a card by another reader than emojax's."""
  first, _, rest = text.partition('\n')
  assert first == '---'
  return yaml.safe_load(rest[: rest.index('\n---\n')])


@pytest.mark.parametrize('text', HOSTILE)
def test_the_head_is_yaml_whatever_is_named(metadata, text):
  card = model_card.render(spoiled(metadata, text), results(text), 100)
  found = head(card)
  assert found == front_matter.read(card)
  assert set(found) >= {'library_name', 'pipeline_tag', 'license', 'tags'}
  assert '<' not in card[: card.index('\n---\n')]


def test_the_head_has_what_was_measured(metadata):
  name = metadata['generation']
  scores = {'expr/acc': 0.51237, 'expr/nll': 1.25}
  found = results(name) | {'dataset': 'Faces & more', 'split': 'test'}
  found['generations'][name]['ensemble'] = scores
  found['generations'][name]['pc'] = {
    'mean': scores, 'std': scores, 'ensemble': {'expr/acc': 0.25}, 'ood': {},
  }  # fmt: skip
  plain = metadata | {'prior': {}}
  (result,) = head(model_card.render(plain, found, 100))['model-index'][0][
    'results'
  ]
  assert result['dataset'] == {
    'type': 'faces-more', 'name': 'Faces more', 'split': 'test',
  }  # fmt: skip
  assert [(m['type'], m['value']) for m in result['metrics']] == [
    ('accuracy', 0.5124),
    ('expr/nll', 1.25),
  ]
  # What `predict` says: with the correction, where the model has one.
  prior = metadata | {'prior': {'expr': {'a': 1.0}}}
  (result,) = head(model_card.render(prior, found, 100))['model-index'][0][
    'results'
  ]
  assert [m['value'] for m in result['metrics']] == [0.25]


@pytest.mark.parametrize('missing', ['members', 'correction', 'run'])
def test_numbers_of_another_model_are_not_in_the_head(metadata, missing):
  name = metadata['generation']
  found = results(name)
  said = metadata | {'prior': {}}
  if missing == 'members':
    found['generations'][name]['num_members'] = len(said['members']) + 1
  elif missing == 'correction':
    said['prior'] = {'expr': {'a': 1.0}}
  else:
    found = None
  card = model_card.render(said, found, 100)
  assert 'model-index' not in head(card)


@pytest.mark.parametrize('text', ['---\n: [\n---\n', '---\n- 1\n---\n'])
def test_heads_that_are_none(text):
  with pytest.raises(ValueError, match='the head of the card is no YAML'):
    front_matter.read(text)


def test_cards_of_before_have_no_head():
  assert front_matter.read('# title\n\n---\na: b\n---\n') == {}


@pytest.mark.parametrize(
  'text',
  [
    'a: !!bool "x"',
    'a: !!int ""',
    'a: !!float "."',
    'a: !!timestamp x',
    'a: &a [x]\nb: *a',
    'a: &a {x: 1}\nb: {<<: [*a, *a]}',
    '? [a]\n: b',
    '[' * 20_000,
    'a: "' + 'x' * (1 << 16) + '"',
  ],
)
def test_heads_that_yaml_stumbles_over(text):
  with pytest.raises(ValueError, match='the head of the card') as error:
    front_matter.read(f'---\n{text}\n---\n')
  assert len(str(error.value)) < 300


@pytest.mark.parametrize('depth', [7, 40])
def test_aliases_stand_for_no_millions_of_values(depth):
  """Some hundred bytes: in lists, and where keys are merged."""
  names = [f'n{i}' for i in range(depth)]
  for start, form in (('[x, x]', '[{}]'), ('{x: 1}', '{{<<: [{}]}}')):
    lines = [f'n: &n {start}']
    for before, name in zip(['n', *names], names):
      lines.append(
        f'{name}: &{name} ' + form.format(', '.join([f'*{before}'] * 9))
      )
    with pytest.raises(ValueError, match='aliases'):
      front_matter.read('---\n' + '\n'.join(lines) + '\n---\n')


@pytest.mark.parametrize(
  ('text', 'found'),
  [
    ('mit', 'mit'),
    ('"mit\\e]0;title\\a"', r'mit\x1b]0;title\x07'),
    ('x' * 5000, 'x' * 200 + '...'),
    ('[mit, apache-2.0]', 'unknown'),
    ('3', 'unknown'),
    ('" "', 'unknown'),
    ('', 'unknown'),
  ],
)
def test_a_licence_is_a_line_of_text(text, found):
  head = front_matter.read(f'---\nlicense: {text}\n---\n')
  assert front_matter.licence(head) == found
