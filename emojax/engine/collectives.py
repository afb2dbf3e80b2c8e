"""What devices say to each other in a compiled program, read from its text."""

import re
from typing import NamedTuple

import numpy as np

KINDS = (
  'all-reduce',
  'all-gather',
  'all-to-all',
  'collective-permute',
  'reduce-scatter',
  'collective-broadcast',
)
_LINE = re.compile(
  rf'= (?P<shapes>.*?) (?P<kind>{"|".join(KINDS)})(-start)?\((?P<rest>.*)'
)
_SHAPE = re.compile(r'\b(?:pred|[a-z]+(\d+)[a-z0-9]*)\[([\d,]*)\]')


class Collective(NamedTuple):
  """One collective of a program.

  Attributes:
    kind: One of `KINDS`.
    nbytes: Size of its result on a device.
    groups: Numbers of the devices that communicate with each other, in order of
      the mesh.
    in_loop: Whether it is repeated in a loop of the program.
  """

  kind: str
  nbytes: int
  groups: tuple[tuple[int, ...], ...]
  in_loop: bool


def collectives(text: str) -> list[Collective]:
  """Finds the collectives of a compiled program.

  Args:
    text: `compiled.as_text()` of a program that JAX has compiled.
  """
  found = []
  for line in text.splitlines():
    if match := _LINE.search(line):
      groups = _groups(match['rest'])
      if groups and max(map(len, groups)) == 1:
        continue  # a device with itself
      name = re.search(r'op_name="([^"]*)"', line)
      found.append(
        Collective(
          match['kind'],
          _nbytes(match['shapes']),
          groups,
          # Scopes of the source: jit(program)/while/body/.../psum.
          'while/body' in (name[1] if name else ''),
        )
      )
  return found


def _nbytes(shapes: str) -> int:
  """Bytes of 'f32[2,3]{1,0}' or of a tuple of such shapes."""
  total = 0
  for bits, dims in _SHAPE.findall(shapes):
    sizes = [int(d) for d in dims.split(',') if d]
    total += int(np.prod(sizes)) * int(bits or 8) // 8  # a pred has no bits
  return total


def _groups(rest: str) -> tuple[tuple[int, ...], ...]:
  """Reads replica_groups={{0,1},{2,3}} and its short form [2,2]<=[4]."""
  if match := re.search(r'replica_groups=\{(\{.*?\})\}', rest):
    groups = re.findall(r'\{([\d,]*)\}', match[1])
    return tuple(tuple(int(i) for i in g.split(',') if i) for g in groups)
  short = r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?'
  if match := re.search(short, rest):
    shape, dims, order = (
      [int(i) for i in (part or '').split(',') if i] for part in match.groups()
    )
    ids = np.arange(np.prod(dims)).reshape(dims)
    ids = ids.transpose(order) if order else ids
    return tuple(tuple(group) for group in ids.reshape(shape).tolist())
  if match := re.search(r'source_target_pairs=\{(\{.*?\})\}', rest):
    pairs = re.findall(r'\{(\d+),(\d+)\}', match[1])
    return tuple((int(a), int(b)) for a, b in pairs)
  return ()
