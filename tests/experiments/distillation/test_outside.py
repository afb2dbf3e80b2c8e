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


def rivals(teachers, students, error=0.01):
  return outside.Rivals(
    Estimate(teachers, error),
    Estimate(students, error),
    Estimate(students - teachers, error),
  )


def verdict_of(**sets):
  claim = outside.claim(['Tea', 'Stu1', 'Stu2'], sets, '')
  (found,) = decide([claim])
  return found.verdict, found.here


def test_a_set_on_which_students_are_worse_is_not_left_out():
  better, worse = rivals(0.7, 0.9), rivals(0.51, 0.3)
  assert verdict_of(a=better)[0] == 'yes'
  verdict, here = verdict_of(a=better, b=worse)
  assert verdict == 'unclear'  # not contradicted: the teachers guess there
  assert '(-0.210 ± 0.020), not detected' in here
  assert here.count('not detected') == 1
  assert verdict_of(a=better, b=rivals(0.51, 0.5))[0] == 'yes'


def test_students_have_to_be_better_than_a_guess():
  # Teachers that tell foreign images the wrong way round are easily beaten.
  turned = rivals(0.2, 0.5)
  better = rivals(0.7, 0.9)
  assert verdict_of(a=better, b=turned)[0] == 'yes'  # nobody detects b
  assert verdict_of(a=rivals(0.2, 0.56, 0.05))[0] == 'untestable'
  unsure = outside.Rivals(
    Estimate(0.2, None), Estimate(0.5, None), Estimate(0.3, 0.01)
  )
  assert verdict_of(a=unsure)[0] != 'yes'


def test_the_first_students_count_not_the_last():
  claim = outside.claim(['Tea', 'Stu1', 'Stu2'], {'a': rivals(0.7, 0.9)}, '')
  assert claim.stacks == ('Tea', 'Stu1')
  assert 'Stu1 ensemble' in claim.text
