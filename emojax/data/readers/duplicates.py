"""Images that occur more than once, within a split or across splits."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

from emojax.data.readers.files.problems import DataError, Problems

# An image of an evaluation split must not be trained on: test comes first.
ORDER = ('test', 'validation', 'train')


class Item(NamedTuple):
  """What decides about one image: hash of its pixels, split, class."""

  digest: bytes
  split: str
  label: int
  constant: bool = False


def select(
  items: Sequence[Item], duplicates: str, problems: Problems
) -> list[bool]:
  """Says which images to keep, and notes what was found.

  Args:
    items: The images in order of the file.
    duplicates: 'keep' keeps all. 'drop' keeps every image once, in the test
      split rather than the validation split rather than the training split,
      its first row there; it drops training images of conflicting labels and
      images of one constant value. 'drop_training' drops the same training
      images and keeps the other splits whole.
    problems: Where the note goes.

  Returns:
    One boolean per item.
  """
  if duplicates not in ('keep', 'drop', 'drop_training'):
    found = f'option duplicates={duplicates!r}'
    raise DataError(found, 'keep, drop or drop_training')
  groups: dict[bytes, list[int]] = collections.defaultdict(list)
  for i, item in enumerate(items):
    groups[item.digest].append(i)
  kept = [True] * len(items)
  if duplicates != 'keep':
    whole = duplicates == 'drop_training'
    kept = [whole and item.split != 'train' for item in items]
    for group in groups.values():
      first = min(group, key=lambda i: (ORDER.index(items[i].split), i))
      kept[first] |= _usable(items[first], [items[i] for i in group])
  _note(items, list(groups.values()), kept, problems)
  return kept


def _usable(first: Item, group: list[Item]) -> bool:
  """Whether the one image kept of a group has a label to trust."""
  agree = len({item.label for item in group}) == 1
  return not first.constant and (agree or first.split != 'train')


def _note(items, groups: list[list[int]], kept: list[bool], problems: Problems):
  repeated = [group for group in groups if len(group) > 1]
  across = [g for g in repeated if len({items[i].split for i in g}) > 1]
  conflict = [g for g in repeated if len({items[i].label for i in g}) > 1]
  constant = sum(item.constant for item in items)
  if not repeated and not constant:
    return
  leaked = sum(items[i].split != 'train' for g in across for i in g)
  action = f'{kept.count(False)} images dropped'
  if all(kept):
    action = (
      'all kept; option duplicates=drop or drop_training removes them, without '
      'which a validation set of training images (val_fraction) has twins there'
    )
  problems.note(
    f'{sum(len(g) - 1 for g in repeated)} images repeat another one, in '
    f'{len(repeated)} groups; {len(across)} groups cross splits ({leaked} '
    f'evaluation images), {len(conflict)} carry conflicting labels; '
    f'{constant} images are constant ({action})'
  )
