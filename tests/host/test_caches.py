"""A core's caches, as Linux describes them."""

import pytest

from emojax.host import caches

INDEX = [
  ('1', 'Data', '32K', '0'),
  ('1', 'Instruction', '32K', '0'),
  ('2', 'Unified', '512K', '0'),
  ('3', 'Unified', '32768K', '0-3,8-11'),
]


def write(folder, index):
  for i, said in enumerate(index):
    where = folder / f'index{i}'
    where.mkdir()
    names = ('level', 'type', 'size', 'shared_cpu_list')
    for name, text in zip(names, said, strict=True):
      (where / name).write_text(f'{text}\n')


def test_a_core_has_its_part_of_what_it_shares(tmp_path):
  write(tmp_path, INDEX)
  assert caches.per_core(tmp_path) == (512 << 10) + (32 << 20) // 8


@pytest.mark.parametrize(
  'index',
  [
    [],
    INDEX[:2],
    [('2', 'Unified', '', '0')],
    [('2', 'Unified', '512K', '')],
    [('two', 'Unified', '512K', '0')],
  ],
)
def test_what_is_not_said_is_guessed(tmp_path, index):
  write(tmp_path, index)
  assert caches.per_core(tmp_path) == caches.UNKNOWN


def test_this_machine_has_some():
  assert caches.per_core() >= 1 << 17
