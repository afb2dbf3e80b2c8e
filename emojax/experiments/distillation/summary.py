"""The paragraph at the top of the report, made of the numbers only."""

from collections.abc import Mapping, Sequence
from typing import Any

from emojax.experiments.distillation.comparability import split_name
from emojax.report import verdicts
from emojax.report.verdicts import Finding

Results = Mapping[str, Any]


def summary(results: Results, findings: Sequence[Finding]) -> str:
  """The headline and the verdicts of the main findings, as one paragraph."""
  return ' '.join([headline(results, findings), *_grouped(findings)])


def headline(results: Results, findings: Sequence[Finding]) -> str:
  """What was scored, the best model, and how many findings are shown."""
  return ' '.join(
    [
      f'{sizes(results)}, scored on the {split_name(results)} set of {results["dataset"]} '
      f'({_plural(results["num_frames"], "frame")}).',
      *_best(results),
      verdicts.tally([finding.verdict for finding in findings]),
    ]
  )


def sizes(results: Results) -> str:
  """How many members each generation has."""
  names = results['names']
  found = [results['generations'][name]['num_members'] for name in names]
  if len(set(found)) == 1:
    return f'{_plural(found[0], "member")} per generation ({", ".join(names)})'
  pairs = zip(found, names, strict=True)
  return ', '.join(f'{_plural(n, "member")} ({name})' for n, name in pairs)


def _plural(count: int, noun: str) -> str:
  return f'{count:,} {noun}' + ('' if count == 1 else 's')


def _best(results: Results) -> list[str]:
  rows = [
    (run[kind]['total'], f'{name} {word}')
    for name, run in results['generations'].items()
    for kind, word in (
      ('single_mean', 'single models'),
      ('ensemble', 'ensemble'),
    )
    if run[kind]['total'] is not None
  ]
  rows += [
    (run['pc'][kind]['total'], f'{name} {word} after prior correction')
    for name, run in results['generations'].items()
    for kind, word in (('mean', 'single models'), ('ensemble', 'ensemble'))
    if run.get('pc') and run['pc'][kind].get('total') is not None
  ]
  if not rows:
    return []
  value, name = max(rows)
  return [f'Best total emotion metric: {value:.3f} ({name}).']


def _grouped(findings: Sequence[Finding]) -> list[str]:
  """Sentences like 'Single students beat single teachers: AU NLL yes, ...'."""
  groups: dict[str, list[str]] = {}
  for finding in findings:
    if finding.group:
      word = verdicts.WORDS[finding.verdict]
      item = f'{finding.item} {word}'.strip()
      groups.setdefault(finding.group, []).append(item)
  if {finding.verdict for finding in findings} <= {verdicts.UNTESTABLE}:
    return []  # the headline has said so
  return [f'{group}: {", ".join(items)}.' for group, items in groups.items()]
