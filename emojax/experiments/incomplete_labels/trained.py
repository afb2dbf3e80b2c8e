"""Stacks of paper 001 after their training; see `protocol.Trained`."""

import functools

from emojax.experiments.protocol import Plain
from emojax.experiments.two_stage import trained
from emojax.report import stacks as report

PAPER = (
  'incomplete labels (Deng, Chen, Shi: Multitask Emotion Recognition with '
  'Incomplete Labels, 2020)'
)
TASKS = ('au', 'expr', 'va')
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
  """Single-task CNNs, multitask teachers and students, recurrent ones."""
  single = {
    f'single-{task}-{condition}': condition
    for task in TASKS
    for condition in config.conditions
  }
  balanced = [name for name, kind in single.items() if kind == 'balanced']
  multitask = []
  if config.multitask:
    stages = ['cnn', *(f'rnn{length}' for length in config.recurrent.lengths)]
    multitask = [f'{s}-{k}' for s in stages for k in ('teacher', 'student')]
  if config.multitask == 'balanced':
    balanced += multitask[:2]  # videos of recurrent stages are as they are
  return trained.stacks_of([*single, *multitask], balanced)
