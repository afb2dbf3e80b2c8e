"""Published numbers of papers 001 and 002 (Aff-Wild2), for comparison.

Row -> (action units, expressions, valence, arousal) of paper 001, without the
action units of paper 002. AU and EXPR are the challenge's scores, valence and
arousal the CCC. None can be reproduced without Aff-Wild2.
"""

COLUMNS = {
  'AU': 'au/score',
  'EXPR': 'expr/score',
  'Valence': 'va/ccc/valence',
  'Arousal': 'va/ccc/arousal',
}


def _rows(text: str) -> dict[str, tuple[float | None, ...]]:
  """Lines 'name | numbers', '-' where the paper has none."""
  rows = {}
  for line in text.strip().splitlines():
    name, _, values = line.partition('|')
    rows[name.strip()] = tuple(
      None if value == '-' else float(value) for value in values.split()
    )
  return rows


# 001, Table I: single-task CNNs, validation set. The baseline is the
# challenge's; 'imbalanced' has external data, 'balanced' is resampled as well.
SINGLE_TASK = _rows("""
  baseline   | 0.31   0.36   0.14   0.24
  imbalanced | 0.5465 0.3399 0.2406 0.4178
  balanced   | 0.5802 0.4243 0.2438 0.4027
""")

# 001, Table II: multitask models, test set. 'student' is the best one of the
# validation set. Figures 5 and 6 (validation set) print no numbers.
MULTITASK = _rows("""
  CNN teacher      | 0.562 0.332 0.367 0.412
  CNN student      | 0.565 0.372 0.421 0.387
  CNN ensemble     | 0.576 0.386 0.429 0.414
  RNN 32 teacher   | 0.571 0.395 0.425 0.437
  RNN 32 student   | 0.587 0.400 0.426 0.452
  RNN 32 ensemble  | 0.607 0.405 0.440 0.454
  RNN 16 teacher   | 0.600 0.439 0.406 0.384
  RNN 16 ensemble  | 0.598 0.440 0.425 0.424
  RNN 8 teacher    | 0.585 0.438 0.400 0.420
  RNN 8 ensemble   | 0.599 0.437 0.404 0.436
""")

# 002, Tables 1-4, validation set, means of ten runs.
TEACHERS = _rows("""
  baseline of the challenge | 0.366 0.23  0.21
  two subsets               | 0.498 0.374 0.407
  three subsets             | 0.513 0.438 0.398
""")
STUDENTS = _rows("""
  no sharing   | 0.513 0.472 0.412
  with sharing | 0.525 0.471 0.421
""")
RECURRENT = _rows("""
  CNN + GRU teacher | 0.555 0.523 0.543
  CNN + GRU student | 0.555 0.526 0.551
""")
OTHERS = _rows("""
  Zhang et al. (M3T)            | -     0.32  0.55
  Gera et al.                   | 0.465 -     -
  Deng et al. (paper 001)       | 0.493 0.335 0.515
  Kuhnke et al. (two streams)   | 0.546 0.493 0.613
  Vu et al. (paper 002)         | 0.555 0.526 0.551
""")
