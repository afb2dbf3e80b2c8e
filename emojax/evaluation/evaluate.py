"""Everything that is reported about the generations of a run."""

from collections.abc import Iterable, Mapping
from typing import Any

from emojax import tasks
from emojax.evaluation import context as contexts
from emojax.evaluation.frames import valid
from emojax.evaluation.generation import evaluate_generation
from emojax.evaluation.judge import Judge
from emojax.evaluation.predictions import Predictions
from emojax.uncertainty.prior import Prior
from emojax.uncertainty.temperature import unlabelled

FORMAT = 'emojax-results-1'
CURVES = ('reliability', 'rejection', 'roc', 'entropy', 'entropy_pc')


def evaluate(
  schema: tasks.Schema,
  predictions: Iterable[Predictions],
  dataset,
  seed: int = 0,
  bin_values=None,
  split: str | None = None,
  modality: str | None = None,
  temperature: bool = True,
  priors: Mapping[str, Prior] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
  """Scores all generations of a run.

  Scores are of single models (mean over the members, which is what the tables
  of paper 000 have) and of the ensemble's mean probability. Same arguments,
  same numbers.

  Args:
    schema: The tasks.
    predictions: One `Predictions` per generation, in order; an iterator is
      fine, only one is needed at a time.
    dataset: `data.clips.Dataset`; `test`, `val` and `ood` are used.
    seed: Seed of the random halves of temperature scaling.
    bin_values: [K] values of the bins of binned tasks; by default
      `tasks.bin_values`.
    split: 'test' or 'val'; by default 'test', or 'val' if that is the same
      split or no test frame has a label. Epochs were selected on 'val', so that
      its scores are optimistic.
    modality: 'V' or 'VA', the paper's model to compare with; by default by
      whether the clips have audio.
    temperature: Whether to scale temperatures, which takes longest.
    priors: Generation -> log weights of the classes in its training
      (`uncertainty.prior`); those that change anything are scored corrected, too.

  Returns:
    (results, curves): JSON-able dictionaries without NaN; what is undefined is
    None. Labels that no frame has are in no mean; `left_out` names them (task ->
    labels), as do the generations' `notes`. Results hold, by generation name
    under 'generations':
      `members`, `single_mean`, `single_std`, `ensemble`: metric dictionaries;
      `ts`: temperature scaling, `test_time` and `val`; `mc`: MC dropout;
      `pc`: prior correction, with `truth` and `ood` of its own, or None;
      `sets`: coverage of prediction sets (`coverage_generation`);
      `uncertainty`: mean total, aleatoric and epistemic by task;
      `ood`: AUROC by set and score; `truth`: distance from the known
      posteriors; `without_member`: the ensemble's metrics and epistemic AUROC
      without each member in turn, for its intervals. `optimum` scores the posteriors themselves,
      `frame_optimum` (where frames are hidden) those given one silent frame; `votes` (see
      `judge`) compares with annotators' votes, or is None.
    Curves hold `reliability`, `rejection`, `roc`, `entropy` and, of what is
    corrected, `entropy_pc`, by generation, and `votes` by method. `reliability`
    is of 'single' and 'ensemble', and of both corrected, 'pc/...'; `rejection`
    has the posteriors' own as 'optimum'.

  Raises:
    ValueError: if no frame of the split has a label, or predictions of a set
      are missing or not finite.
  """
  context = contexts.make(
    schema, dataset, seed, bin_values, split, temperature, priors
  )
  generations, drawn = {}, {}
  voted = getattr(context.clips, 'votes', None) is not None
  judge = Judge(context) if voted else None
  for prediction in predictions:
    name = prediction.name
    generations[name], drawn[name] = evaluate_generation(context, prediction)
    if judge:
      judge.add(prediction)
  if not generations:
    raise ValueError('evaluate: no predictions were given')
  if modality is None:
    modality = 'VA' if context.clips.has_audio else 'V'
  results = {
    'format': FORMAT,
    'dataset': dataset.name,
    'split': context.split,
    'modality': modality,
    'num_frames': len(valid(context.clips)),
    'labelled_frames': {k: len(v.index) for k, v in context.frames.items()},
    'left_out': {
      task.name: list(missing)
      for task in context.scored
      if (missing := unlabelled(task, context.frames[task.name].target.mask))
    },
    'schema': [task.to_json() for task in context.scored],
    'names': list(generations),
    'generations': generations,
    'optimum': context.optimum,
    'votes': judge.results() if judge else None,
  }
  if context.frame_optimum:
    results['frame_optimum'] = context.frame_optimum
  curves = {
    kind: {name: curve[kind] for name, curve in drawn.items()}
    for kind in CURVES
  } | {'votes': judge.curves if judge else {}}
  return results, curves
