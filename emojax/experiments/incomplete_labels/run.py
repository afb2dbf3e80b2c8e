"""A run of paper 001, "Multitask Emotion Recognition with Incomplete Labels".

Single-task CNNs without and with external data and balancing (Table I); a
multitask teacher, its students and their ensemble (Figure 5); the same with
recurrent networks on the features of the best CNN (Figure 6, Table II). Several
seeds are one stack; all students of all teachers are another.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

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

SUBSETS = (('au',), ('expr',), ('va',))
SPLIT = 'test'
TITLE = 'Multitask emotion recognition with incomplete labels'


def run(config, folder: workdir.Workdir, console: Console) -> dict[str, Any]:
  """Trains, evaluates and reports; resumes where it stopped.

  See `protocol.Experiment.run`.
  """
  check(config)
  task_names, epochs = ('au', 'expr', 'va'), _epochs(config)
  with frame.begun(
    config, folder, console, task_names, SUBSETS, epochs
  ) as this:
    single = _single_task(this)
    multitask = _multitask(this)
  with console.status('evaluating'):
    studies, claims, accuracy = _study(this, single, multitask)
  stacks = [p for parts in single.values() for p in parts]
  stacks += [p for pair in multitask.values() for p in pair]
  stacks = {predictions.name: predictions for predictions in stacks}
  return frame.conclude(
    this, TITLE, SPLIT, stacks, studies, claims, accuracy, console
  )


def check(config):
  """Raises ValueError if there is nothing to train, or sequences are too long."""
  if not config.conditions and not config.multitask:
    raise ValueError(
      'conditions is empty and so is multitask: nothing is to be trained'
    )
  frame.check(config)


def _epochs(config) -> int:
  t, r = config.train, config.recurrent
  single = len(config.conditions) * len(SUBSETS) * t.teacher_epochs
  both = t.teacher_epochs + t.student_epochs
  recurrent = len(r.lengths) * (r.teacher_epochs + r.student_epochs)
  return single + (both + recurrent if config.multitask else 0)


def _single_task(run: stages.Run) -> dict[str, list[Predictions]]:
  """Table I: condition -> stacks of single-task CNNs, one per task."""
  config, data, seeds = run.config, run.roles, run.config.ensemble.seeds
  found: dict[str, list] = {condition: [] for condition in config.conditions}
  source = stages.Sources(data.stills, data.val, data.test)
  for task in data.schema if found else ():
    of = builders.cnn_method(
      config, (task,), own_labels((task,), [(task.name,)])
    )
    epochs = config.train.teacher_epochs
    of = builders.scheduled(of, config.train, epochs)
    trainer = stages.make_trainer(run, of, source, seeds, epochs)
    for condition, parts in found.items():
      name = f'single-{task.name}-{condition}'
      subsets = data.subsets(condition, [task.name])
      generation = stages.generation(name, source, subsets, config.train, seeds)
      parts.append(stages.train_stack(run, name, trainer, generation, source))
  return found


def _multitask(run: stages.Run) -> dict[str, pairs.Pair]:
  """Teachers and students of the CNN, and of every length of sequences."""
  config, data = run.config, run.roles
  if not config.multitask:
    return {}
  own = own_labels(data.schema, SUBSETS)
  source = stages.Sources(data.stills, data.val, data.test)
  names = [roles.subset_name(names) for names in SUBSETS]
  subsets = data.subsets(config.multitask, names)
  cnn = builders.cnn_method(config, data.schema, own)
  pair = pairs.teach(run, 'cnn', cnn, source, subsets, config.train)
  found = {'CNN': pair}
  if not config.recurrent.lengths:
    return found
  whole = recurrent.extract(run, *pairs.best_member(run, pair), cnn)
  rnn = builders.rnn_method(config, data.schema, own)
  for length in config.recurrent.lengths:
    cut, places = recurrent.cut_sequences(whole, length)
    subsets = recurrent.sequence_subsets(
      places, [data.clip_groups[name] for name in names]
    )
    found[f'RNN {length}'] = pairs.teach(
      run, f'rnn{length}', rnn, cut, subsets, config.recurrent
    )
  return found


def _study(run: stages.Run, single, multitask):
  """(tables, claims, accuracy that the claims start from) of a run."""
  table1 = {
    name: scores.summary(
      scores.joined([pairs.members(run, p, SPLIT) for p in parts])
    )
    for name, parts in single.items()
  }
  rows = {}
  for name, pair in multitask.items():
    rows |= pairs.rows_of(run, name, pair, SPLIT)
  if len(multitask) > 1:
    stack, member = pairs.best_member(run, multitask['CNN'])
    best = {p.name: p for p in multitask['CNN']}[stack]
    rows['CNN extractor'] = pairs.single_row(run, best, member, SPLIT)
  first = rows.get('CNN teacher') or next(iter(table1.values()))
  accuracy = first['mean'].get('expr/acc')
  return studies_of(table1, rows), claims_of(table1, rows), accuracy


def studies_of(
  single: Mapping[str, report.Row], rows: Mapping[str, report.Row]
) -> list[report.Study]:
  """The tables of the paper that the run has something for."""
  found = []
  if single:
    found.append(
      report.Study(
        'Table I: single-task CNNs',
        single,
        published.SINGLE_TASK,
        published.COLUMNS,
        'baseline: the main videos alone (in the paper the numbers of the '
        'challenge); imbalanced: with external data; balanced: resampled. No row '
        'is corrected for the prevalences of its training data, which other '
        'people and several labels at once have shifted: no ratio undoes that.',
      )
    )
  trained = {name: row for name, row in rows.items() if 'extractor' not in name}
  cnn = {k: row for k, row in trained.items() if k.startswith('CNN')}
  if cnn:
    before = {}
    if 'balanced' in single:
      before = {'single-task': single['balanced']}
    found.append(
      report.Study(
        'Figure 5: single-task, teacher, mean student, ensemble of students',
        before | cnn,
        {k: v for k, v in published.MULTITASK.items() if k.startswith('CNN')},
        published.COLUMNS,
        "The paper's rows are of Table II (test set); 'CNN student' is there "
        'the best student instead of the mean. Figure 5 prints no numbers.',
      )
    )
  if len(trained) > len(cnn):
    found.append(
      report.Study(
        'Figure 6 and Table II: recurrent networks by length of sequences',
        rows,
        published.MULTITASK,
        published.COLUMNS,
        'All seeds of the recurrent stage share the features of one CNN, the '
        "best of the run on the validation set ('CNN extractor'), as in the "
        'paper.',
      )
    )
  return found


def claims_of(
  single: Mapping[str, report.Row], rows: Mapping[str, report.Row]
) -> list[report.Claim]:
  """The claims of the paper, with this run's numbers."""
  compare, found = report.compare, []
  if {'balanced', 'imbalanced'} <= set(single):
    for key, paper in (
      ('au/f1', '0.546 to 0.580'),
      ('expr/f1', '0.340 to 0.424'),
    ):
      found.append(
        compare(
          f'Balancing improves {report.NAMES[key]} of single-task CNNs',
          single['balanced'],
          single['imbalanced'],
          [key],
          f'score {paper} (Table I)',
          stacks=[
            f'single-{key.split("/")[0]}-{kind}'
            for kind in ('balanced', 'imbalanced')
          ],
        )
      )
  if 'CNN teacher' in rows:
    keys = list(published.COLUMNS.values())
    for claim, better, worse in (
      ('Students (mean) beat their teacher', 'student', 'teacher'),
      (
        'The ensemble of students beats the mean student',
        'ensemble',
        'student',
      ),
    ):
      if f'CNN {better}' not in rows:  # a single student is no ensemble
        continue
      found.append(
        compare(
          f'{claim} on all tasks',
          rows[f'CNN {better}'],
          rows[f'CNN {worse}'],
          keys,
          'on all tasks (Figure 5)',
          paired=True,
          stacks=['cnn-'],
        )
      )
  for name in rows:
    if name.startswith('RNN') and name.endswith('student'):
      length = name.split()[1]
      claim = (
        f'Recurrent students (sequences of {length}) beat the CNN that their '
        'features come from, in total'
      )
      paper = 'CNN-RNN above CNN on all tasks (Table II)'
      pair = rows[name], rows['CNN extractor']
      stacks = ['cnn-', f'rnn{length}-']
      found.append(compare(claim, *pair, ['total'], paper, stacks=stacks))
  return found
