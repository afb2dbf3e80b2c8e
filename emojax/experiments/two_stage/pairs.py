"""Teachers with their students: training and scores."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks
from emojax.engine.member import Method
from emojax.evaluation import Predictions
from emojax.experiments.two_stage import builders, scores, stages
from emojax.experiments.two_stage.roles import Subsets
from emojax.experiments.two_stage.stages import Run, Sources


class Pair(NamedTuple):
  """Predictions of a stack of teachers and of their students."""

  teacher: Predictions
  student: Predictions


def teachers(
  run: Run,
  name: str,
  of: Method,
  sources: Sources,
  subsets: Subsets,
  stage,
) -> Predictions:
  """Trains one teacher per seed as one stack, `<name>-teacher`.

  Args:
    run: The run.
    name: What the stacks are called.
    of: The teachers' method.
    sources: The data.
    subsets: What batches draw from.
    stage: `config.train` or `config.recurrent`.
  """
  name, seeds = f'{name}-teacher', run.config.ensemble.seeds
  of = builders.scheduled(of, stage, stage.teacher_epochs)
  trainer = stages.make_trainer(run, of, sources, seeds, stage.teacher_epochs)
  generation = stages.generation(name, sources, subsets, stage, seeds)
  return stages.train_stack(
    run, name, trainer, generation, sources, teaches=True
  )


def students(
  run: Run,
  name: str,
  teacher: Predictions,
  of: Method,
  sources: Sources,
  subsets: Subsets,
  stage,
) -> Predictions:
  """Trains the students of all teachers as one stack, `<name>-student`.

  Args:
    run: The run.
    name: What the stack is called.
    teacher: The finished stack of teachers.
    of: The students' method.
    sources: The data, those of the teachers.
    subsets: What batches draw from.
    stage: `config.train` or `config.recurrent`.
  """
  name, ensemble = f'{name}-student', run.config.ensemble
  members = ensemble.seeds * ensemble.size
  of = builders.scheduled(of, stage, stage.student_epochs)
  trainer = stages.make_trainer(run, of, sources, members, stage.student_epochs)
  generation = stages.generation(
    name,
    sources,
    subsets,
    stage,
    members,
    stages.teacher_logits(run, teacher.name),
  )
  return stages.train_stack(run, name, trainer, generation, sources)


def teach(run: Run, name: str, of: Method, sources, subsets, stage) -> Pair:
  """Teachers and their students with one method; see `teachers`."""
  first = teachers(run, name, of, sources, subsets, stage)
  return Pair(first, students(run, name, first, of, sources, subsets, stage))


def bin_values(run: Run) -> np.ndarray:
  """Values of the valence/arousal bins of this run."""
  return tasks.bin_values(kind=run.config.loss.bin_values)


def members(
  run: Run, predictions: Predictions, split: str
) -> list[scores.Metrics]:
  """Metrics of every member of a stack on 'val' or 'test'."""
  targets = {'val': run.roles.val, 'test': run.roles.test}[split].targets
  return scores.member_metrics(predictions, split, targets, bin_values(run))


def best_member(run: Run, stacks: Sequence[Predictions]) -> tuple[str, int]:
  """Name of the stack and number of the member that is best on validation."""
  found: list[tuple[Any, str, int]] = [
    (metrics['total'], predictions.name, m)
    for predictions in stacks
    for m, metrics in enumerate(members(run, predictions, 'val'))
  ]
  _, name, member = max(found, key=lambda x: x[0])
  return name, member


def rows_of(run: Run, name: str, pair: Pair, split: str):
  """Rows 'teacher', 'student' (mean) and 'ensemble', over the seeds."""
  seeds = run.config.ensemble.seeds
  targets = {'val': run.roles.val, 'test': run.roles.test}[split].targets
  every = members(run, pair.student, split)
  rows = {
    f'{name} teacher': members(run, pair.teacher, split),
    f'{name} student': scores.mean_student(every, seeds),
  }
  if run.config.ensemble.size > 1:
    rows[f'{name} ensemble'] = scores.ensemble_metrics(
      pair.student, split, targets, bin_values(run), seeds
    )
  return {name: scores.summary(metrics) for name, metrics in rows.items()}


def single_row(run: Run, predictions: Predictions, member: int, split: str):
  """The row of one network, a number without spread."""
  metrics = members(run, predictions, split)[member]
  return {**scores.summary([metrics]), 'exact': True}
