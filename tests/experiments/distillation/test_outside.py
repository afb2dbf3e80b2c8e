"""When one generation tells foreign images better than another."""

from emojax.experiments.distillation import outside
from emojax.report.estimates import Estimate
from emojax.report.verdicts import decide


def test_chance_is_no_detection():
  even = Estimate(0.5, 0.1), Estimate(0.55, 0.1)
  sets = {'x': outside.Rivals(*even, Estimate(0.05, 0.001))}
  assert outside.claim(['Tea', 'Stu1'], sets, '').untestable
  # A set that neither detects does not decide about another one.
  sure = Estimate(0.7, 0.01), Estimate(0.8, 0.01)
  sets['y'] = outside.Rivals(*sure, Estimate(0.1, 0.01))
  (found,) = decide([outside.claim(['Tea', 'Stu1'], sets, '')])
  assert found.verdict == 'yes'
