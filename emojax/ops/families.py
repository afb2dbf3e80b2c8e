"""Families of distributions over what an ensemble says, by name.

Each is a module with the same functions, of which `outputs` are those of a task and
of its `further` tasks:

  LABELS                          'probabilities' or 'logits' of the teachers
  further(task)                   tasks whose outputs a network has besides
  mean(task, *outputs)            logits of the mean distribution
  draw(key, task, *outputs)       logits of a member
  loss(task, said, *outputs)      (losses by label, what each counts for)
"""

import types

from emojax.ops import beta, credal, dirichlet, logit_gaussian

FAMILIES: dict[str, types.ModuleType] = {
  'dirichlet': dirichlet,
  'credal': credal,
  'logit_gaussian': logit_gaussian,
  'beta': beta,
}
