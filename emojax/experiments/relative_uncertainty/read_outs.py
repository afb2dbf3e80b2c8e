"""From a network's outputs to what a method of paper 003 says of an image."""

import functools

from emojax import tasks
from emojax.experiments.relative_uncertainty import learners, method

LEARNED = 'uncertainty'  # of `method.evaluated`
# What read-outs need of a learner does not depend on its constants.
LEARNERS = {
  'baseline': learners.baseline,
  'scn': learners.scn,
  'conf': learners.conf,
  'dul': learners.dul,
  'rul': learners.rul,
  'mix_output': functools.partial(learners.rul, structure='mix_output'),
  'loss_attention': functools.partial(learners.rul, structure='loss_attention'),
}


def read_out(name: str):
  """`(outputs, task) -> logits and learned uncertainty` of a method.

  Raises:
    ValueError: On an unknown method.
  """
  if name not in LEARNERS:
    raise ValueError(
      f'read_out {name!r}: expected one of {", ".join(LEARNERS)}'
    )
  learner = LEARNERS[name]()

  def read(outputs, task: tasks.Task):
    found = method.evaluated(learner, task.name, outputs)
    return {key: found[key] for key in (task.name, LEARNED)}

  return read
