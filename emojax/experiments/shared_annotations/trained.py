"""Stacks of paper 002 after their training; see `protocol.Trained`."""

import functools

from emojax.experiments.protocol import Plain
from emojax.experiments.two_stage import trained
from emojax.report import stacks as report

PAPER = (
  'shared annotations (Multitask Multi-database Emotion Recognition, 2021)'
)
TASKS = ('expr', 'va')
REPORT = report
FOREIGN = False
LEARNED = None
PRIORS = None
predictions, header = Plain.predictions, Plain.header
weights, network_for = trained.weights, trained.network_for
method_for, settings_for = trained.method_for, trained.settings_for
as_trained = functools.partial(trained.as_trained, names=TASKS)
held_out = functools.partial(trained.held_out, names=TASKS)


def stacks(config):
  """Teachers, students without and with shared annotations, recurrent ones."""
  words = ['with' if sharing else 'no' for sharing in config.sharing]
  cnns = [f'cnn{subsets}-teacher' for subsets in config.teachers]
  cnns += [f'{word}-sharing-student' for word in words]
  recurrent = [
    f'rnn{length}-{kind}'
    for length in config.recurrent.lengths
    for kind in ('teacher', 'student')
  ]
  return trained.stacks_of([*cnns, *recurrent], cnns)
