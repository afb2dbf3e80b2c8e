"""Claims of papers 001 and 002: which stacks of members they are about."""

import numpy as np

from emojax.experiments.incomplete_labels import run as incomplete_labels
from emojax.experiments.shared_annotations import run as shared_annotations
from emojax.experiments.two_stage import published
from emojax.report import validity, verdicts


def row(value):
  metrics = {key: value for key in (*published.COLUMNS.values(), 'total')}
  metrics |= {'au/f1': value, 'expr/f1': value}
  seeds = [{k: v + 0.01 * s for k, v in metrics.items()} for s in range(3)]
  mean, std = (
    {k: float(f([m[k] for m in seeds])) for k in metrics}
    for f in (np.mean, lambda x: np.std(x, ddof=1))
  )
  return {'members': seeds, 'mean': mean, 'std': std}


def found(claims, *improving):
  gated = validity.gate(claims, {'floor': 0.0, 'improving': improving}, None)
  return {
    f.claim.split(',')[0]: f.verdict == 'untestable'
    for f in verdicts.decide(gated)
  }


def test_claims_of_paper_001_wait_for_their_own_stacks():
  single = {'balanced': row(0.5), 'imbalanced': row(0.4)}
  names = ('CNN teacher', 'CNN student', 'CNN ensemble', 'RNN 8 student')
  rows = {name: row(0.5) for name in (*names, 'CNN extractor')}
  claims = incomplete_labels.claims_of(single, rows)
  assert len(claims) == 5
  assert not any(found(claims).values())
  assert list(found(claims, 'single-au-balanced').values()) == [
    True,
    False,
    False,
    False,
    False,
  ]
  assert list(found(claims, 'single-au-baseline').values()) == [False] * 5
  waiting = list(found(claims, 'rnn8-student').values())
  assert waiting == [False] * 4 + [True]
  waiting = list(found(claims, 'cnn-teacher').values())
  assert waiting == [False] * 2 + [True] * 3


def test_a_single_student_makes_no_claim_about_ensembles():
  rows = {name: row(0.5) for name in ('CNN teacher', 'CNN student')}
  (claim,) = incomplete_labels.claims_of({}, rows)
  assert claim.text.startswith('Students (mean) beat their teacher')


def test_claims_of_paper_002_wait_for_their_own_stacks():
  names = ['2 subsets', '3 subsets', 'no sharing', 'with sharing']
  names += ['GRU 8 teacher', 'GRU 8 student', 'CNN extractor']
  stacks = [shared_annotations.stacks_of(name) for name in names]
  assert stacks == [
    ('cnn2-teacher',),
    ('cnn3-teacher',),
    ('no-sharing-student',),
    ('with-sharing-student',),
    ('rnn8-teacher',),
    ('rnn8-student',),
    ('with-sharing-student',),
  ]
  claims = shared_annotations.claims_of({name: row(0.5) for name in names})
  assert len(claims) == 5
  waiting = list(found(claims, 'with-sharing-student').values())
  assert waiting == [False, False, True, False, True]


def test_students_no_better_than_their_teachers_are_rarely_called_so():
  rng, wrong, trials = np.random.default_rng(0), 0, 200
  names = ['2 subsets', '3 subsets', 'no sharing', 'with sharing']
  for _ in range(trials):
    rows = {}
    for name in names:
      values = rng.normal(size=5)
      rows[name] = {
        'members': [{'total': value} for value in values],
        'mean': {'total': float(np.mean(values))},
        'std': {'total': float(np.std(values, ddof=1))},
      }
    decided = verdicts.decide(shared_annotations.claims_of(rows))
    wrong += any(finding.verdict != 'unclear' for finding in decided)
  assert wrong <= 0.05 * trials + 3 * np.sqrt(0.05 * 0.95 * trials)
