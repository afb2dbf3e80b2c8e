"""A run of paper 002, "Multitask Multi-database Emotion Recognition".

Teachers of two and of three subsets (Table 1), students without and with the
annotations that videos share (Table 2), recurrent teachers and students on the
features of the best student (Table 3). Several seeds are one stack.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console

from emojax import tasks
from emojax.evaluation import Predictions
from emojax.experiments.two_stage import (
  builders,
  frame,
  pairs,
  published,
  recurrent,
  report,
  roles,
  scores,
  stages,
)
from emojax.losses.two_stage import own_labels
from emojax.runtime import workdir

SUBSETS = (('expr',), ('va',), ('expr', 'va'))
SPLIT = 'test'
TITLE = 'Multitask multi-database emotion recognition with shared annotations'
COLUMNS = {k: v for k, v in published.COLUMNS.items() if k != 'AU'}


def run(config, folder: workdir.Workdir, console: Console) -> dict[str, Any]:
  """Trains, evaluates and reports; resumes where it stopped.

  See `protocol.Experiment.run`.
  """
  check(config)
  task_names, epochs = ('expr', 'va'), _epochs(config)
  with frame.begun(
    config, folder, console, task_names, SUBSETS, epochs
  ) as this:
    stacks = _train(this)
  with console.status('evaluating'):
    rows = _rows(this, stacks)
    studies, claims = studies_of(rows), claims_of(rows)
    accuracy = next(iter(rows.values()))['mean'].get('expr/acc')
  named = {found.name: found for found in stacks.values()}
  return frame.conclude(
    this, TITLE, SPLIT, named, studies, claims, accuracy, console
  )


def check(config):
  """Raises ValueError if a stack lacks the one that it learns from."""
  frame.check(config)
  if not config.teachers:
    raise ValueError('teachers is empty: nothing is to be trained')
  if config.sharing and 3 not in config.teachers:
    raise ValueError(
      'students learn from the teacher of three subsets: add 3 to '
      'config.teachers, or set config.sharing=()'
    )
  if config.recurrent.lengths and True not in config.sharing:
    raise ValueError(
      'features come from the student with shared annotations: add True to '
      'config.sharing, or set config.recurrent.lengths=()'
    )


def _epochs(config) -> int:
  t, r = config.train, config.recurrent
  cnn = len(config.teachers) * t.teacher_epochs
  cnn += len(config.sharing) * t.student_epochs
  return cnn + len(r.lengths) * (r.teacher_epochs + r.student_epochs)


def supervised(schema: tasks.Schema, subsets: int, sharing: bool) -> np.ndarray:
  """Labels that are looked at, [subsets, tasks].

  Args:
    schema: The tasks.
    subsets: 2 for EXPR and VA, 3 for EXPR_VA as well.
    sharing: Whether labels of the other task count, too (Eq. 10).
  """
  own = own_labels(schema, SUBSETS[:subsets])
  return np.ones_like(own) if sharing else own


def _train(run: stages.Run) -> dict[str, Predictions]:
  """All stacks by the names of their rows."""
  config, data, found = run.config, run.roles, {}
  source = stages.Sources(data.stills, data.val, data.test)
  names = [roles.subset_name(names) for names in SUBSETS]
  for subsets in config.teachers:
    of = builders.cnn_method(
      config, data.schema, supervised(data.schema, subsets, False)
    )
    found[f'{subsets} subsets'] = pairs.teachers(
      run,
      f'cnn{subsets}',
      of,
      source,
      data.subsets('balanced', names[:subsets]),
      config.train,
    )
  for sharing in config.sharing:
    of = builders.cnn_method(
      config, data.schema, supervised(data.schema, 3, sharing)
    )
    word = 'with' if sharing else 'no'
    found[f'{word} sharing'] = pairs.students(
      run,
      f'{word}-sharing',
      found['3 subsets'],
      of,
      source,
      data.subsets('balanced', names),
      config.train,
    )
  if config.recurrent.lengths:
    of = builders.cnn_method(
      config, data.schema, supervised(data.schema, 3, True)
    )
    found |= _recurrent(run, found['with sharing'], of)
  return found


def _recurrent(run: stages.Run, cnn: Predictions, of) -> dict[str, Predictions]:
  """Teachers and students on the features of the best student."""
  config, data, found = run.config, run.roles, {}
  whole = recurrent.extract(run, *pairs.best_member(run, [cnn]), of)
  names = [roles.subset_name(names) for names in SUBSETS]
  methods = [
    builders.rnn_method(
      config, data.schema, supervised(data.schema, 3, sharing)
    )
    for sharing in (False, True)
  ]
  for length in config.recurrent.lengths:
    cut, places = recurrent.cut_sequences(whole, length)
    subsets = recurrent.sequence_subsets(
      places, [data.clip_groups[name] for name in names]
    )
    shared = cut, subsets, config.recurrent
    name = f'rnn{length}'
    teacher = pairs.teachers(run, name, methods[0], *shared)
    student = pairs.students(run, name, teacher, methods[1], *shared)
    found[f'GRU {length} teacher'] = teacher
    found[f'GRU {length} student'] = student
  return found


def _rows(run: stages.Run, stacks: Mapping[str, Predictions]):
  """Summaries over the seeds, and of the CNN that features come from."""
  seeds = run.config.ensemble.seeds
  rows = {
    name: scores.summary(
      scores.mean_student(pairs.members(run, found, SPLIT), seeds)
    )
    for name, found in stacks.items()
  }
  if run.config.recurrent.lengths:
    stack = stacks['with sharing']
    _, member = pairs.best_member(run, [stack])
    rows['CNN extractor'] = pairs.single_row(run, stack, member, SPLIT)
  return rows


def studies_of(rows: Mapping[str, report.Row]) -> list[report.Study]:
  """The tables of the paper that the run has something for."""

  def pick(*words):
    return {k: v for k, v in rows.items() if any(w in k for w in words)}

  note = 'The paper reports the validation set of Aff-Wild2, means of ten runs.'
  found = [
    ('Table 1: teachers', pick('subsets'), published.TEACHERS, note),
    (
      'Table 2: students with and without shared annotations',
      pick('3 subsets', 'sharing'),
      published.STUDENTS,
      note,
    ),
    (
      'Tables 3 and 4: CNN and CNN + GRU, teacher and student',
      pick('with sharing', 'GRU', 'extractor'),
      published.RECURRENT | published.OTHERS,
      'All seeds of the recurrent stage share the features of one CNN, the '
      "best student on the validation set ('CNN extractor').",
    ),
  ]
  return [
    report.Study(title, part, paper, COLUMNS, text)
    for title, part, paper, text in found
    if len(part) > 1
  ]


def stacks_of(row: str) -> tuple[str, ...]:
  """Names of the stacks that a row of the tables stands for."""
  if row.endswith('subsets'):
    return (f'cnn{row.split()[0]}-teacher',)
  if row.endswith('sharing'):
    return (f'{row.replace(" ", "-")}-student',)
  if row == 'CNN extractor':
    return stacks_of('with sharing')
  _, length, kind = row.split()  # 'GRU 32 student'
  return (f'rnn{length}-{kind}',)


def claims_of(rows: Mapping[str, report.Row]) -> list[report.Claim]:
  """The claims of the paper, with this run's numbers."""
  # (claim, better row, worse row, the paper's numbers, whether of one teacher)
  claims = [
    (
      'The subset with both labels (EXPR_VA) improves the teacher, in total',
      '3 subsets',
      '2 subsets',
      '1.279 to 1.349: EXPR and valence better, arousal not (Table 1)',
      False,
    ),
    (
      'Students beat their teacher, in total',
      'no sharing',
      '3 subsets',
      '1.349 to 1.397 (Tables 1 and 2)',
      True,
    ),
    (
      'Shared annotations beat no sharing, in total',
      'with sharing',
      'no sharing',
      '1.397 to 1.417: EXPR and arousal better, valence not (Table 2)',
      True,
    ),
  ]
  for name in rows:
    if name.startswith('GRU') and name.endswith('student'):
      claims += [
        (
          f'{name} beats its teacher, in total',
          name,
          name.replace('student', 'teacher'),
          '1.621 to 1.632 (Table 3)',
          True,
        ),
        (
          f'{name} beats the CNN that its features come from, in total',
          name,
          'CNN extractor',
          '1.417 to 1.632 (Tables 2 and 3)',
          False,
        ),
      ]
  return [
    report.compare(
      claim,
      rows[better],
      rows[worse],
      ['total'],
      paper,
      paired=paired,
      stacks=stacks_of(better) + stacks_of(worse),
    )
    for claim, better, worse, paper, paired in claims
    if better in rows and worse in rows
  ]
