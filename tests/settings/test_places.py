"""Where files lay is nobody else's business."""

from emojax.settings import places


def test_the_last_part_of_a_path_is_shown():
  paths = {
    'data.path': ('/home/me/secret/faces', 'faces'),
    'data.ood_path': ('/a/b,c/d', 'b,d'),
    'data.external.expr': ('/home/me/x', 'x'),
    'distill.teachers': ('/home/me/runs/teachers', 'teachers'),
    'study.variants.other': (
      ('data.path=/home/me/x', 'model.name=a/b'),
      ('data.path=x', 'model.name=a/b'),
    ),
  }
  others = {'model.name': 'a/b', 'train.epochs': 3, 'noise.rates': (0.0, 0.3)}
  given, shown = (
    {name: pair[i] for name, pair in paths.items()} | others for i in (0, 1)
  )
  assert places.shareable(given) == shown
