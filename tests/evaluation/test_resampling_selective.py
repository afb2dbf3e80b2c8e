"""Replicates of selective prediction are those of samples built in full."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emojax.evaluation import resampling
from emojax.evaluation import resampling_selective as selective
from emojax.metrics import scod
from emojax.metrics import selective as metrics

samples = st.lists(
  st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30
)


def replicates(counts, *values):
  for row in counts.astype(int):
    yield [np.repeat(x, row) for x in values]


@given(samples, st.integers(0, 99), st.sampled_from([0.0, 0.05, 0.3, 0.5]))
@settings(deadline=None, max_examples=40)
def test_equal_those_of_samples_built_in_full(pairs, seed, risk):
  wrong, doubt = (np.array(x) for x in zip(*pairs, strict=True))
  counts = resampling.draws(seed, len(wrong), 6)
  found = {
    'aurc': selective.aurc(counts, wrong, doubt),
    'e_aurc': selective.e_aurc(counts, wrong, doubt),
    'coverage': selective.coverage_at(counts, wrong, doubt, risk),
    'auroc': selective.error_auroc(counts, wrong, doubt),
  }
  for i, (loss, values) in enumerate(replicates(counts, wrong, doubt)):
    curve = metrics.risk_coverage(loss, values)
    assert found['aurc'][i] == pytest.approx(curve.aurc)
    assert found['e_aurc'][i] == pytest.approx(curve.e_aurc, abs=1e-9)
    assert found['coverage'][i] == pytest.approx(curve.coverage_at(risk))
    right = metrics.error_auroc(loss, values)
    right = np.nan if right is None else right
    assert found['auroc'][i] == pytest.approx(right, nan_ok=True)


@given(
  samples,
  st.lists(st.integers(0, 5), min_size=1, max_size=20),
  st.integers(0, 99),
  st.floats(0.05, 0.95),
  st.floats(0, 1),
)
@settings(deadline=None, max_examples=40)
def test_scod_equals_that_of_samples_built_in_full(
  pairs, foreign, seed, share, cost
):
  wrong, doubt = (np.array(x) for x in zip(*pairs, strict=True))
  foreign = np.array(foreign)
  counts = resampling.draws(seed, len(wrong), 6)
  out = resampling.draws(seed + 1, len(foreign), 6)
  found = selective.scod_area(counts, wrong, doubt, out, foreign, share, cost)
  inside = replicates(counts, wrong, doubt)
  outside = replicates(out, foreign)
  for value, mine, (theirs,) in zip(found, inside, outside, strict=True):
    if mine[0].all():
      assert np.isnan(value)
      continue
    right = scod.scod(*mine, theirs, share, cost).area
    assert value == pytest.approx(right, abs=1e-9)


def test_without_errors_there_is_no_auroc():
  counts = resampling.draws(0, 4, 3)
  found = selective.error_auroc(counts, np.zeros(4, bool), np.arange(4.0))
  assert np.isnan(found).all()
