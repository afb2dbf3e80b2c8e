"""One threshold or two: what uncertainty says of errors, ambiguity and foreign images.

  python -m benchmarks.routing --data DATA/ferplus_raw --foreign DATA/cifar10 \
      --out runs/routing [--page docs/results/routing.md]

Clean, corrupted and foreign images under an exported ensemble (`emojax.load`), on
FER+ prepared with `--option rule=raw` (docs/training.md). Thresholds are of the
validation faces, which the model's settings name, or of half of the foreign images;
scores are of PublicTest, the store's validation split, and of the other half.
Predictions are kept in `--out`, so that the command goes on where it was stopped.
Intervals are 95 % percentile intervals over images, not over networks.
"""

import argparse
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import rich.console

import emojax
from benchmarks import routing_page as page
from benchmarks import routing_predictions as predictions
from emojax import uncertainty
from emojax.data.readers import ferplus_rules
from emojax.data.transform import corruptions
from emojax.evaluation import resampling, votes
from emojax.evaluation import resampling_selective as selective
from emojax.runtime import workdir
from emojax.uncertainty import Uncertainty, routing

TASK = 'expr'
KINDS = Uncertainty._fields
RISK = 0.05  # at which coverage is reported
REJECTED = (0.5, 0.7, 0.8, 0.9, 0.95)  # of foreign images, one threshold or two
BUDGETS = ((0.05, 0.2), (0.1, 0.2))  # (rejected, sets) of validation faces
COVERAGE = 0.9  # of the sets
AMBIGUOUS = 0.5  # the largest share of the votes, at most


class Faces(NamedTuple):
  """Faces with votes, and what the ensemble says of them.

  Attributes:
    doubt: Uncertainties, [F] each.
    members: Probabilities, [M, F, E].
    share: Shares of the votes, [F, E].
    labelled: Positions of faces with a majority (FER+'s rule).
    wrong: Whether the answer is another one, [L].
  """

  doubt: Uncertainty
  members: np.ndarray
  share: np.ndarray
  labelled: np.ndarray
  wrong: np.ndarray


def faces(ballots: np.ndarray, members: np.ndarray) -> Faces:
  """Faces with any vote for a class.

  Args:
    ballots: Votes as stored, [N, V].
    members: Probabilities, [M, N, E].
  """
  share, kept = votes.shares(ballots, members.shape[-1])
  members = np.float64(members[:, kept])
  labels = [ferplus_rules.target(one, 'majority') for one in ballots[kept]]
  labelled = np.array([i for i, one in enumerate(labels) if one is not None])
  right = np.array([labels[i].argmax() for i in labelled])
  wrong = members.mean(0)[labelled].argmax(1) != right
  doubt = uncertainty.decompose(members)
  return Faces(doubt, members, share, labelled, wrong)


def cell(values: np.ndarray) -> dict[str, Any]:
  """A statistic [1 + R] with its interval."""
  return {
    'value': float(values[0]),
    'interval': resampling.interval(values),
  }


def measure(
  found: Mapping[str, np.ndarray],
  ballots: Mapping[str, np.ndarray],
  model,
  replicates: int,
  seed: int,
) -> dict[str, Any]:
  """All numbers of the page, JSON-able.

  Args:
    found: Set -> probabilities of every member, [M, N, E].
    ballots: Votes of the validation and test faces.
    model: The exported ensemble.
    replicates: Bootstrap replicates of the images.
    seed: Of the bootstrap, and of which half of foreign images is fitted on.
  """
  val, test = (
    faces(ballots[name], found[name])
    for name in (predictions.VALIDATION, predictions.TEST)
  )
  _, kept = votes.shares(ballots[predictions.TEST], test.share.shape[1])
  counts = resampling.draws(seed, len(test.share), replicates)
  corrupted = {
    name: uncertainty.decompose(np.float64(found[name][:, kept]))
    for name in found
    if name.split('-')[0] in corruptions.KINDS
  }
  wrong = {
    name: np.float64(found[name][:, kept]).mean(0)[test.labelled].argmax(1)
    for name in corrupted
  }
  foreign = {
    name.removeprefix(f'{predictions.FOREIGN}-'): uncertainty.decompose(
      np.float64(members)
    )
    for name, members in found.items()
    if name.startswith(predictions.FOREIGN)
  }
  answers = test.share[test.labelled].argmax(1)
  return {
    'faces': {
      'validation': len(val.share),
      'test': len(test.share),
      'majority': len(test.labelled),
      'ambiguous': int(_ambiguous(test).sum()),
      'foreign': {name: len(u.total) for name, u in foreign.items()},
      'members': len(test.members),
      'replicates': replicates,
    },
    'votes': _votes(test, counts),
    'errors': _errors(test, counts),
    'corruption': _corruption(test, corrupted, counts),
    'accuracy': {
      name: float((said == answers).mean()) for name, said in wrong.items()
    },
    'foreign': _foreign(test, foreign, counts, seed),
    'equal': _equal(test, foreign, counts, seed),
    'routes': _routes(val, test, foreign, corrupted, model),
  }


def _ambiguous(test: Faces) -> np.ndarray:
  """Faces for which no class has more than half of the votes, [F]."""
  return test.share.max(1) <= AMBIGUOUS


def _votes(test: Faces, counts) -> dict[str, Any]:
  """Rank correlation of uncertainties with the entropy of the votes."""
  true = np.round(votes.entropy(test.share), 9)
  found = {
    kind: cell(resampling.spearman(counts, getattr(test.doubt, kind), true))
    for kind in KINDS
  }
  single = [uncertainty.entropy(one) for one in test.members]
  every = [resampling.spearman(counts, one, true) for one in single]
  return found | {'single': cell(np.mean(every, 0))}


def _errors(test: Faces, counts) -> dict[str, Any]:
  """AURC, E-AURC, coverage at a risk and AUROC of errors, by uncertainty."""
  counts, found = counts[:, test.labelled], {}
  for kind in KINDS:
    args = counts, test.wrong, getattr(test.doubt, kind)[test.labelled]
    found[kind] = {
      'aurc': cell(selective.aurc(*args)),
      'e_aurc': cell(selective.e_aurc(*args)),
      'coverage': cell(selective.coverage_at(*args, RISK)),
      'auroc': cell(selective.error_auroc(*args)),
    }
  return {'risk': float(test.wrong.mean()), **found}


def _corruption(test: Faces, corrupted, counts) -> dict[str, Any]:
  """AUROC of corrupted against clean faces, the same ones in a replicate."""
  found: dict[str, Any] = {}
  for kind in KINDS:
    clean, every = getattr(test.doubt, kind), []
    for name, doubt in corrupted.items():
      drawn = resampling.auroc(counts, clean, counts, getattr(doubt, kind))
      found.setdefault(kind, {})[name] = cell(drawn)
      every.append(drawn)
    found[kind]['mean'] = cell(np.mean(every, 0))
  return found


def _foreign(test: Faces, foreign, counts, seed) -> dict[str, Any]:
  """AUROC of foreign images and SCOD's area, by set and uncertainty."""
  found: dict[str, Any] = {}
  for i, (name, outside) in enumerate(foreign.items()):
    out = resampling.draws(seed + 1 + i, len(outside.total), len(counts) - 1)
    for kind in KINDS:
      mine, theirs = getattr(test.doubt, kind), getattr(outside, kind)
      scod = selective.scod_area(
        counts[:, test.labelled], test.wrong, mine[test.labelled], out, theirs
      )
      found.setdefault(name, {})[kind] = {
        'auroc': cell(resampling.auroc(counts, mine, out, theirs)),
        'scod': cell(scod),
      }
  return found


def halves(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Positions of two random halves."""
  order = np.random.default_rng(seed).permutation(size)
  return order[: size // 2], order[size // 2 :]


def _equal(test: Faces, foreign, counts, seed) -> dict[str, Any]:
  """Faces that are kept where the same share of foreign images is rejected.

  One threshold is on the total uncertainty; with two, the epistemic one alone
  rejects. Both are fitted on half of the foreign images.
  """
  hard = _ambiguous(test)
  found: dict[str, Any] = {}
  for name, outside in foreign.items():
    fitted, scored = halves(len(outside.total), seed)
    for share in REJECTED:
      row: dict[str, Any] = {}
      drawn = {}
      for rule, kind in (('one', 'total'), ('two', 'epistemic')):
        mine, theirs = getattr(test.doubt, kind), getattr(outside, kind)
        limit = np.quantile(theirs[fitted], 1 - share)
        kept = mine <= limit
        drawn[rule] = resampling.mean(counts[:, hard], kept[hard])
        row[rule] = {
          'rejected': float((theirs[scored] > limit).mean()),
          'kept': cell(resampling.mean(counts, kept)),
          'ambiguous': cell(drawn[rule]),
        }
      row['difference'] = cell(drawn['two'] - drawn['one'])
      found.setdefault(name, {})[str(share)] = row
  return found


def _routes(val: Faces, test: Faces, foreign, corrupted, model):
  """What becomes of frames by thresholds of the validation faces alone."""
  sets = _sets(model, test)
  found = []
  for reject, ambiguous in BUDGETS:
    limits = routing.fit(
      val.doubt.aleatoric, val.doubt.epistemic, reject, ambiguous
    )
    total = float(np.quantile(val.doubt.total, 1 - reject))
    two = [
      routing.route(u.aleatoric, u.epistemic, limits)
      for u in (test.doubt, *foreign.values(), *corrupted.values())
    ]
    one = [
      np.where(u.total <= total, routing.ANSWER, routing.REJECT)
      for u in (test.doubt, *foreign.values(), *corrupted.values())
    ]
    names = [*foreign, *corrupted]
    found += [
      {
        'rule': rule,
        'budget': [reject, ambiguous],
        **_routed(test, routes[0], sets if rule == 'two' else None),
        'foreign': {
          name: float((one == routing.REJECT).mean())
          for name, one in zip(names, routes[1:], strict=True)
        },
      }
      for rule, routes in (('one', one), ('two', two))
    ]
  return found


def _sets(model, test: Faces) -> np.ndarray:
  """Sets for votes of the test faces, bool [F, E]."""
  output = emojax.trained.model.Output(
    {TASK: np.float32(test.members.mean(0))}, {TASK: np.float32(test.members)},
    {}, {},
  )  # fmt: skip
  methods = {TASK: 'vote_classes'}
  return model.sets(output, COVERAGE, methods, votes=True)[TASK]


def _routed(test: Faces, routes: np.ndarray, sets) -> dict[str, Any]:
  """Shares of the routes, and how good answers and sets are."""
  hard, labelled = _ambiguous(test), routes[test.labelled]
  found = {
    'shares': {name: float((routes == name).mean()) for name in routing.ROUTES},
    'ambiguous_kept': float((routes[hard] != routing.REJECT).mean()),
    'accuracy': {
      name: float(1 - test.wrong[labelled == name].mean())
      for name in routing.ROUTES
      if (labelled == name).any()
    },
  }
  chosen = routes == routing.SET
  if sets is not None and chosen.any():
    held = (sets[chosen] * test.share[chosen]).sum(1)
    found |= {
      'votes_held': float(held.mean()),
      'size': float(sets[chosen].sum(1).mean()),
    }
  return found


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = argparse.ArgumentParser(
    prog='python -m benchmarks.routing',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  made.add_argument('--data', required=True, help='FER+, rule=raw')
  made.add_argument('--model', default='ferplus', help='name or folder')
  made.add_argument(
    '--foreign', default='', help='prepared data, with commas between'
  )
  made.add_argument('--out', required=True, help='folder, for predictions too')
  made.add_argument('--seed', type=int, default=0)
  made.add_argument('--replicates', type=int, default=1000)
  made.add_argument('--page', help='page whose tables and figures are replaced')
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  asked = parser().parse_args(arguments)
  out = pathlib.Path(asked.out)
  try:
    model = emojax.load(asked.model)
    sets = predictions.sets(model, asked.data, asked.foreign, asked.seed)
    names = [asked.data, *asked.foreign.split(',')]
    found = predictions.predict(
      model, sets.images, TASK, out / 'predictions',
      {'seed': asked.seed, 'data': [pathlib.Path(n).name for n in names]},
    )  # fmt: skip
    measured = measure(found, sets.votes, model, asked.replicates, asked.seed)
    workdir.write_json(out / 'routing.json', measured)
    if asked.page:
      page.write(pathlib.Path(asked.page), measured)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 1
  console = rich.console.Console(width=max(160, rich.console.Console().width))
  for one in page.tables_of(measured):
    one.print(console)
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
