"""From the ten annotators' votes of FER+ to one target per face.

The rules are those of the data set's paper (Barsoum et al., "Training deep
networks for facial expression recognition with crowd-sourced label
distribution", ICMI 2016) and of the code published with it. All but 'raw' and
'plurality' first discard single votes as outliers. These two also take some of a
face's votes only (`draw`): paper 000 has one label per face.

A network that is trained with cross-entropy (or the KL divergence, which has the
same gradient) on 'raw' maximises the multinomial likelihood of the votes, with
that of every face divided by the number of its votes for emotions: a face counts
once, whether seven annotators named an emotion or ten.
"""

import hashlib
from collections.abc import Callable

import numpy as np

from emojax.data.readers.files.problems import DataError

NUM_EMOTIONS = 8
ANNOTATORS = 10
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


def draw(
  votes: np.ndarray, count: int, seed: int, face: bytes
) -> tuple[np.ndarray, np.ndarray]:
  """Draws some of a face's votes, without putting them back.

  The draws of a face and seed are nested: the first of two votes is the vote
  that a draw of one finds.

  Args:
    votes: [10], counts.
    count: Votes to draw, at most as many as there are.
    seed: Seed of all draws.
    face: Identifies the face, whatever else is in the data set.

  Returns:
    Counts of the drawn votes and of the others, [10] each.
  """
  key = hashlib.blake2b(face, digest_size=16, salt=b'%d' % seed).digest()
  rng = np.random.default_rng(int.from_bytes(key))
  each = np.repeat(np.arange(len(votes)), np.asarray(votes, np.int64))
  drawn = np.bincount(rng.permutation(each)[:count], minlength=len(votes))
  drawn = drawn.astype(votes.dtype)
  return drawn, votes - drawn


def check_draw(rule: str, count: int, seed: int):
  """Raises DataError if no votes can be drawn so, or for this rule."""
  if not 0 <= count <= ANNOTATORS:
    raise DataError(f'option votes={count}', f'0 (all) to {ANNOTATORS}')
  if not 0 <= seed < 10**16:
    raise DataError(f'option votes_seed={seed}', 'a seed from 0')
  if count and rule not in _KEEP_SINGLE_VOTES:
    raise DataError(
      f'options votes={count}, rule={rule}',
      'rule=raw or rule=plurality with votes: the others discard single votes '
      'as outliers',
    )


def check_rule(option: str, rule: str):
  """Raises DataError unless `rule` is one of `RULES`."""
  if rule not in RULES:
    found = f'option {option}={rule!r}'
    raise DataError(found, f'one of {", ".join(RULES)}')
