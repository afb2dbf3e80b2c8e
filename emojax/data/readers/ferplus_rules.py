"""From the ten annotators' votes of FER+ to one target per face.

The rules are those of the data set's paper (Barsoum et al., "Training deep
networks for facial expression recognition with crowd-sourced label
distribution", ICMI 2016) and of the code published with it. All but 'raw' and
'plurality' first discard single votes as outliers.
"""

from collections.abc import Callable

import numpy as np

from emojax.data.readers.files.problems import DataError

NUM_EMOTIONS = 8
# Columns after the emotions: the annotator could not tell, or saw no face.
VOTE_LABELS = ('unknown', 'no face')


def majority(votes: np.ndarray, total: float) -> np.ndarray | None:
  """Accepts the emotion that has more than half of the votes."""
  top = int(np.argmax(votes))
  accepted = np.where(np.arange(len(votes)) == top, votes, 0)
  return accepted if votes[top] > 0.5 * total else None


def leading(votes: np.ndarray, total: float) -> np.ndarray | None:
  """Accepts the most frequent emotions until 75 % of the votes are covered.

  Equal numbers are taken together. The list ends at three emotions, and at
  unknown or no face, which count only if nothing came before them. Too many
  emotions (ties) or at most half of the votes: no label.
  """
  left, accepted = votes.copy(), np.zeros_like(votes)
  taken, covered, ended = 0, 0.0, False
  while covered < 0.75 * total and taken < 3 and not ended:
    level = left.max()
    for i in np.flatnonzero(left == level):
      ended = i >= NUM_EMOTIONS
      if not ended or not taken:
        accepted[i], taken = level, taken + 1
      if ended:
        break
      left[i], covered = 0, covered + level
  fits = taken <= 3 and accepted.sum() > 0.5 * total
  return accepted if fits else None


def several(votes: np.ndarray, total: float) -> np.ndarray | None:
  """Accepts every emotion with at least 30 % of the votes.

  No label if these have at most half of the votes together.
  """
  accepted = np.where(votes >= 0.3 * total, votes, 0)
  return accepted if accepted.sum() > 0.5 * total else None


def plurality(votes: np.ndarray, total: float) -> np.ndarray | None:
  """Accepts the most frequent of the ten answers; ties go to the first."""
  top = int(np.argmax(votes))
  accepted = np.where(np.arange(len(votes)) == top, votes, 0)
  return accepted if total else None


def raw(votes: np.ndarray, total: float) -> np.ndarray | None:
  """Accepts all votes for emotions."""
  del total
  votes = votes[:NUM_EMOTIONS]
  return votes if votes.sum() else None


# 'probability' and 'crossentropy' have the same targets; training draws one
# label per visit from the former and uses the latter as it is.
RULES: dict[str, Callable[[np.ndarray, float], np.ndarray | None]] = {
  'majority': majority,
  'probability': leading,
  'crossentropy': leading,
  'multi_target': several,
  'plurality': plurality,
  'raw': raw,
}
_KEEP_SINGLE_VOTES = ('plurality', 'raw')


def target(votes: np.ndarray, rule: str) -> np.ndarray | None:
  """Returns the label distribution of one face.

  Args:
    votes: [10], votes for the eight emotions (order of tasks.FERPLUS), for
      unknown and for no face.
    rule: A key of `RULES`.

  Returns:
    float32 [8] that sums to 1 (one-hot for majority and plurality; for
    multi_target the classes with a label are those above 0), or None when
    the rule gives this face no emotion.
  """
  votes = np.asarray(votes, np.float64)
  if rule not in _KEEP_SINGLE_VOTES:
    votes = np.where(votes > 1, votes, 0)
  accepted = RULES[rule](votes, votes.sum())
  if accepted is None or accepted.argmax() >= NUM_EMOTIONS:
    return None
  accepted = accepted[:NUM_EMOTIONS]
  return (accepted / accepted.sum()).astype(np.float32)


def check_rule(option: str, rule: str):
  """Raises DataError unless `rule` is one of `RULES`."""
  if rule not in RULES:
    found = f'option {option}={rule!r}'
    raise DataError(found, f'one of {", ".join(RULES)}')
