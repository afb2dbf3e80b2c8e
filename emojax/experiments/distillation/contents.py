"""What is in the report, in order."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emojax.data import unseen
from emojax.evaluation.predictions import Predictions
from emojax.experiments.distillation import (
  comparability,
  figures_generations,
  findings,
  plain,
  tables,
  tables_extra,
  votes,
)
from emojax.experiments.distillation.published import TEACHERS
from emojax.experiments.distillation.summary import summary
from emojax.report import (
  examples,
  figures_training,
  figures_uncertainty,
  page,
  prediction_sets,
)
from emojax.uncertainty import prior

Figure = tuple[str, Callable[[], Any], str]
# Of captions, where the posteriors are known.
_TICKS = ' Black ticks are the entropies of the true posteriors: where bars should end.'
_LINE = ' No expectation is below the Bayes optimum.'
_CORRECTED = ' After prior correction, as exported models answer.'
_UNCORRECTED = ' Without prior correction.'
_BEST = (
  ' The Bayes optimum answers and doubts by the true posteriors; labels that are '
  'drawn from them surprise it, too.'
)


@dataclasses.dataclass(frozen=True)
class Contents:
  """Everything a report is made of.

  Attributes:
    results: results.json.
    curves: curves.json.
    lines: Lines of metrics.jsonl; may be empty.
    config: config.json; may be empty.
    predictions: Folder of the predictions.
    clips: `Clips` of the evaluated split, or None.
    runs: Results with and without multitask balancing; may be empty.
  """

  results: Mapping[str, Any]
  curves: Mapping[str, Any]
  lines: list[dict[str, Any]]
  config: Mapping[str, Any]
  predictions: pathlib.Path
  clips: Any
  runs: Mapping[str, Mapping[str, Any]]

  @property
  def names(self) -> list[str]:
    """The generations in order."""
    return self.results['names']


def _example(run: Contents):
  """The last generation's, if clips were given and its file is there."""
  path = run.predictions / f'{run.names[-1]}.npz'
  if run.clips is None or not path.exists():
    return None
  prediction = as_exported(Predictions.load(path), run.results)
  return examples.figure(
    examples.choose(prediction, run.results['split'], run.clips)
  )


def as_exported(
  prediction: Predictions, results: Mapping[str, Any]
) -> Predictions:
  """What an exported model says: after prior correction, if there is one."""
  pc = results['generations'][prediction.name].get('pc')
  if not pc:
    return prediction
  shift = prior.from_json(prediction.schema, pc['log_weights'])
  logits = {
    name: prior.correct(prediction.schema, one, shift)
    for name, one in prediction.logits.items()
  }
  return dataclasses.replace(prediction, logits=logits, mc={})


def figures(run: Contents) -> Iterator[Figure]:
  """Yields (file name, function that draws it or returns None, caption)."""
  results, curves = run.results, run.curves
  known = bool(results.get('optimum'))
  plain = _UNCORRECTED * bool(tables.corrected(results))
  split = comparability.split_name(results)
  yield (
    'example',
    lambda: _example(run),
    f'Like Figure 1 of the paper: the most certain and the most uncertain '
    f'frame of the {split} set by the {run.names[-1]} ensemble, with its '
    'answers (probabilities in brackets; present action units in bold). A bar is '
    'its doubt, the normalised entropy: what the members share (aleatoric) and '
    'what they disagree about (epistemic).'
    + _TICKS * known
    + _CORRECTED * bool(results['generations'][run.names[-1]].get('pc')),
  )
  yield (
    'generations',
    lambda: figures_generations.total(results),
    'Like Figure 4 of the paper: total emotion metric by generation. Error '
    'bars are standard deviations over the members. Hollow marks, here and below: '
    'after prior correction, where classes were weighted.',
  )
  yield (
    'scores',
    lambda: figures_generations.scores(results),
    'The parts of the total emotion metric (higher is better).',
  )
  yield (
    'uncertainty',
    lambda: figures_generations.uncertainty(results),
    'Tables 3 and 4 as a figure: in-domain uncertainty by generation (lower is '
    'better). Horizontal lines, where the run has them: temperature scaling '
    '(TS) and Monte Carlo dropout of single teachers.' + _LINE * known,
  )
  for kind, text in (
    ('single', 'single models, all members pooled'),
    ('ensemble', 'ensembles'),
  ):
    yield (
      f'reliability_{kind}',
      lambda kind=kind: figures_uncertainty.reliability(
        results, curves, kind, TEACHERS
      ),
      f'Reliability of the {text}. On the dotted line, predicted '
      'probabilities are observed frequencies; below it, models are too sure. '
      f'The lower row shows how many predictions fall into each bin; bins with '
      f'fewer than {figures_uncertainty.FEWEST} are not drawn above. Of valence '
      'and arousal, which have no single right bin, the smallest sets of bins '
      'that reach a probability: how often they hold the label, and below how '
      'many bins they have. Dashed: after prior correction.',
    )
  yield (
    'rejection',
    lambda: figures_uncertainty.rejection(results, curves, TEACHERS),
    'Error of the remaining frames when the most uncertain ones (by total '
    'uncertainty) are rejected. A curve that falls means that the uncertainty '
    'knows where the errors are.' + _BEST * known + plain,
  )
  yield (
    'ood_roc',
    lambda: figures_uncertainty.ood_roc(results, curves, TEACHERS),
    'Like Figure 5 of the paper: detection of out-of-distribution frames by '
    "the ensembles' epistemic uncertainty, averaged over the tasks." + plain,
  )
  yield (
    'excess',
    lambda: figures_generations.excess(results),
    'Expected NLL in excess of the Bayes optimum, which is the divergence of '
    'the predictions from the posteriors that the labels were drawn from.',
  )
  yield (
    'entropy',
    lambda: figures_uncertainty.entropy(results, curves),
    'Total uncertainty of the ensembles against the entropy of the true '
    'posteriors, both normalised; on the dotted line they are equal. "Corrected" '
    'is after prior correction.',
  )
  yield ('votes', lambda: votes.figure(results, curves), votes.CAPTION)
  yield (
    'training',
    lambda: figures_training.validation(run.lines, run.names, TEACHERS),
    'Validation scores by epoch: thin lines are members, thick ones their '
    'mean; rings mark the selected epochs. Axes begin at the second quarter.',
  )
  yield (
    'task_weights',
    lambda: figures_training.task_weights(run.lines, run.names),
    'Weights of the task losses set by Algorithm 1: mean and range over the '
    'members.',
  )


_SECTIONS = (
  ('An example', ('example',), ()),
  (
    'Emotion recognition',
    ('generations', 'scores'),
    (tables.teachers, tables.generations),
  ),
  (
    'In-domain uncertainty',
    ('uncertainty', 'reliability_single', 'reliability_ensemble', 'rejection'),
    (
      tables.au_nll,
      tables.other_nll,
      tables_extra.calibration,
      tables_extra.selective,
    ),
  ),
  (
    prediction_sets.TITLE,
    (),
    tuple(
      lambda results, table=table: table(
        prediction_sets.of_generations(results)
      )
      for table in (prediction_sets.coverage, prediction_sets.worst)
    ),
  ),
  ('Out-of-domain uncertainty', ('ood_roc',), (tables_extra.out_of_domain,)),
  (
    'Against the known posteriors',
    ('excess', 'entropy'),
    (tables_extra.truth,),
  ),
  ("Against the annotators' votes", ('votes',), votes.MAKERS),
  ('Training', ('training', 'task_weights'), ()),
)


def blocks(
  run: Contents, pictures: Mapping[str, page.Picture]
) -> list[page.Block]:
  """Returns the blocks of the report; sections without content are left out."""
  results = run.results
  found = findings.all_findings(results)
  content: list[page.Block] = [
    *(page.Paragraph(text, lead=True) for text in plain.sentences(results)),
    page.Heading("The paper's findings in this run"),
    page.Paragraph(summary(results, found)),
    page.Paragraph(findings.RULE + ' ' + tables.comparability(results)),
    page.Verdicts([finding.row for finding in found]),
  ]
  for title, names, makers in _SECTIONS:
    made = (maker(results) for maker in makers)
    shown = [pictures[name] for name in names if name in pictures]
    shown += [table for table in made if table is not None]
    if title == 'Emotion recognition':
      balancing = tables.balancing(run.runs)
      shown += [balancing] if balancing else []
    if shown:
      content += [page.Heading(title), *shown]
  differing = comparability.table(results, settings(run))
  content += [page.Heading('The run'), page.Facts(list(_facts(run)))]
  return content + ([differing] if differing else [])


def settings(run: Contents) -> Mapping[str, Any]:
  """The configuration that the models were trained with; may be empty."""
  config = run.config.get('config', {})
  # A run that was evaluated again; see `reevaluation`.
  if 'trained' not in config:
    return config
  return {**config['trained'], 'data': config['data']}


def _facts(run: Contents) -> Iterator[tuple[str, str]]:
  """Yields what identifies the run: data, epochs, times, settings, versions."""
  results = run.results
  yield (
    'Data set',
    f'{results["dataset"]}, {comparability.split_name(results)} set',
  )
  evaluation = results.get('evaluation')
  if evaluation:
    yield (
      'Models',
      f'run "{evaluation["run"]}", trained on ' + str(evaluation['trained_on']),
    )
    yield 'Members', ', '.join(map(str, evaluation['members']))
    for note in evaluation['notes']:
      yield 'Note', note
  labelled = results['labelled_frames'].items()
  yield 'Frames', f'{results["num_frames"]:,}'
  yield 'Labelled', ', '.join(f'{k.upper()} {n:,}' for k, n in labelled)
  yield from unseen.facts(results)
  for name, generation in results['generations'].items():
    epochs = ', '.join(str(epoch + 1) for epoch in generation['epochs'])
    yield f'Selected epochs, {name}', epochs
    for note in generation['notes']:
      yield f'Note on {name}', note
  for name, seconds in results.get('timings', {}).items():
    yield f'Time, {name}', f'{seconds:,.1f} s'
  for title in ('environment', 'config'):
    for key, value in sorted(_flat(run.config.get(title, {}))):
      yield f'{title}: {key}', str(value)


def _flat(tree: Mapping[str, Any], prefix: str = '') -> Iterator[tuple]:
  for key, value in tree.items():
    if isinstance(value, Mapping):
      yield from _flat(value, f'{prefix}{key}.')
    else:
      yield prefix + key, value
