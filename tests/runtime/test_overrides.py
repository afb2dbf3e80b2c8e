"""Settings from text."""

import pytest
from ml_collections import ConfigDict

from emojax.runtime import overrides


def config():
  return ConfigDict(
    {'a': 1, 'b': {'rate': 0.5, 'name': 'x', 'on': True, 'sizes': (1, 2)}}
  )


def test_types_are_kept_and_the_original_too():
  original = config()
  found = overrides.apply(
    original, ['a=3', 'b.rate=1e-3', 'b.name=c=d', 'b.on=False']
  )
  assert found.to_dict() == {
    'a': 3,
    'b': {'rate': 1e-3, 'name': 'c=d', 'on': False, 'sizes': (1, 2)},
  }
  assert original.to_dict() == config().to_dict()


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('a', "'a': expected NAME=VALUE"),
    ('a=1.5', 'a=1.5: expected a value of type int'),
    ('b.on=maybe', 'expected a value of type bool'),
    ('b.rat=1', r'unknown setting b.rat; did you mean b.rate\?'),
    ('b.sizes=1', 'of type tuple cannot be overridden'),
  ],
)
def test_errors(text, message):
  with pytest.raises(overrides.OverrideError, match=message):
    overrides.apply(config(), [text])
