"""What a page says of the model and of the limits behind its answers."""

from emojax.answers import command
from emojax.answers.columns import Layout
from emojax.answers.rows import Limits

DIGITS = 8  # of the model's digest


def lines(model, layout: Layout, limits: Limits, name: str = '') -> list[str]:
  """Returns a sentence each.

  Args:
    model: The loaded model.
    layout: The columns of its answers.
    limits: From where on answers are unsure.
    name: The model's, as it was asked for.
  """
  digest = command.model_digest(model.metadata)[:DIGITS]
  of = 'mean uncertainty of the tasks' if len(layout.schema) > 1 else (
    'uncertainty'
  )  # fmt: skip
  made = [
    f'Model: {name} ({digest}).' if name else f'Model: {digest}.',
    f'Unsure: {of} above {limits.unsure:.3g}, or a reason: foreign (the members '
    f'disagree by more than {limits.foreign:.3g}), blurred (sharpness below '
    f'{limits.sharpness:.3g}), small (fewer than {limits.face:.3g} pixels), '
    f'profile (turned by more than {limits.profile:.3g}).',
  ]
  if layout.smooth:
    made.append(
      f'Smoothed: probabilities of videos are means over {layout.smooth:g} s of '
      'the same track; answers and uncertainties are those of the frame.'
    )
  if layout.favour_rare:
    made.append(
      f'Rare classes are favoured by {layout.favour_rare:g}: an answer may be less '
      'likely than another class.'
    )
  for task in layout.schema:
    if layout.sets is not None and layout.has_set(task):
      column = layout.answer(task, 'answer_set')
      made.append(
        f'Answer sets ({column} in the table) of coverage '
        f'{layout.sets.coverage:.0%}: {layout.sets.meaning(task)}.'
      )
  return made
