"""Where files lay is nobody else's business."""

from emojax.settings import places


def test_the_last_part_of_a_path_is_shown():
  found = places.shareable(
    {
      'data.path': '/home/me/secret/faces',
      'data.ood_path': '/a/b,c/d',
      'data.external.expr': '/home/me/x',
      'distill.teachers': '/home/me/runs/teachers',
      'model.name': 'a/b',
      'train.epochs': 3,
      'study.variants.other': ('data.path=/home/me/x', 'model.name=a/b'),
      'noise.rates': (0.0, 0.3),
    }
  )
  assert found == {
    'data.path': 'faces',
    'data.ood_path': 'b,d',
    'data.external.expr': 'x',
    'distill.teachers': 'teachers',
    'model.name': 'a/b',
    'train.epochs': 3,
    'study.variants.other': ('data.path=x', 'model.name=a/b'),
    'noise.rates': (0.0, 0.3),
  }
