"""From a network's outputs to what a method of paper 003 says of an image."""

from emojax import tasks
from emojax.experiments.relative_uncertainty import learners, method

LEARNED = 'uncertainty'  # of `method.evaluated`


def read_out(name: str):
  """`(outputs, task) -> logits and learned uncertainty` of a method.

  What it needs of a learner does not depend on the learner's constants.

  Raises:
    ValueError: On an unknown method.
  """
  if name not in learners.METHODS:
    raise ValueError(
      f'read_out {name!r}: expected one of {", ".join(learners.METHODS)}'
    )
  learner = learners.METHODS[name].make()

  def read(outputs, task: tasks.Task):
    found = method.evaluated(learner, task.name, outputs)
    return {key: found[key] for key in (task.name, LEARNED)}

  return read
