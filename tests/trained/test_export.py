"""Exported models: the run's numbers for uint8 images, or a clear error."""

import json
import pathlib
import shutil
import types

import jax
import numpy as np
import pytest
from PIL import Image

import emojax
from emojax import export, tasks, uncertainty
from emojax.data.clips import evaluation_sets
from emojax.evaluation.frames import labelled, pick
from emojax.trained import arrays, calibration, describing, exporting
from emojax.trained import folder as release
from emojax.trained import model as pretrained
from emojax.trained import run as runs
from emojax.uncertainty import prior, temperature


@pytest.fixture(autouse=True)
def _quick(quick):
  pass


@pytest.fixture(scope='module')
def run(run_path):
  return runs.open_run(run_path)


@pytest.fixture(scope='module')
def clips(run):
  return evaluation_sets.open_split(run.config.data, 'test').clips


@pytest.fixture
def model(exported):
  return emojax.load(exported)


@pytest.fixture
def output(model, clips):
  return model.predict(clips.image, batch=5)


def corrected(run, name='Stu1', split='test'):
  """The run's logits without the class weights of its training."""
  found = run.predictions(name).logits[split]
  return prior.correct(run.schema, found, run.priors()[name])


def test_probabilities_are_the_runs_without_class_weights(run, output):
  assert prior.changes(run.priors()['Stu1'])
  logits = corrected(run)
  for task in run.schema:
    probs = uncertainty.probabilities(task, logits[task.name])
    np.testing.assert_allclose(output.members[task.name], probs, atol=1e-6)
    np.testing.assert_allclose(
      output.probabilities[task.name], probs.mean(0), atol=1e-6
    )


def test_uncertainties_are_the_runs(run, output):
  logits = corrected(run)
  probs = {
    task.name: uncertainty.probabilities(task, logits[task.name])
    for task in run.schema
  }
  mean, parts = uncertainty.multitask_uncertainty(probs, run.schema)
  assert set(output.uncertainty) == {'au', 'expr', 'va', 'mean'}
  for name, expected in (*parts.items(), ('mean', mean)):
    for kind in ('total', 'aleatoric', 'epistemic'):
      found = getattr(output.uncertainty[name], kind)
      assert found.shape == (16, 2)
      np.testing.assert_allclose(found, getattr(expected, kind), atol=1e-5)


def test_temperatures_are_fitted_to_corrected_logits(run, model, clips):
  found = model.metadata['temperatures']
  val = evaluation_sets.open_split(run.config.data, 'val').clips
  logits = corrected(run, split='val')
  for task in run.schema[:2]:
    frames = labelled(task, val)
    expected = [
      temperature.fit(task, pick(one, frames.index), frames.target)
      for one in logits[task.name]
    ]
    np.testing.assert_allclose(found[task.name], expected)
  assert 'va' not in found  # scored by its expectation
  scaled = model.predict(clips.image, temperature=True)
  logits = corrected(run)['expr']
  probs = uncertainty.probabilities(
    run.schema[1], logits / np.array(found['expr'])[:, None, None, None]
  )
  np.testing.assert_allclose(scaled.members['expr'], probs, atol=1e-6)


def test_thresholds_mark_the_share_they_name(run, model, clips):
  """On the validation clips; the small network ties many of its values."""
  val = evaluation_sets.open_split(run.config.data, 'val').clips
  output = model.predict(val.image)
  for share in calibration.SHARES:
    marked = model.unsure(output, share, 'epistemic', 'au').mean()
    assert marked == pytest.approx(share, abs=1.5 / 24)
  with pytest.raises(release.ModelError, match=r'share 0\.3; there are'):
    model.unsure(output, 0.3)


@pytest.mark.parametrize('name', ['answers', 'sets', 'unsure', 'route'])
@pytest.mark.parametrize('value', [None, np.zeros((1, 1, 48, 48, 3), np.uint8)])
def test_what_no_model_has_said_has_no_answer(model, name, value):
  with pytest.raises(release.ModelError, match='expected what predict'):
    getattr(model, name)(value)


def test_answers(run, model, output):
  answers = model.answers(output)
  best = output.probabilities['expr'].argmax(-1)
  assert answers['expr'].shape == (16, 2)
  assert answers['expr'][3, 1] == tasks.AFFWILD2[best[3, 1]]
  i = tasks.AU12.index('AU6')
  np.testing.assert_array_equal(
    answers['au']['AU6'], output.probabilities['au'][..., i] > 0.5
  )
  values = output.probabilities['va'] @ tasks.bin_values()
  np.testing.assert_allclose(answers['va']['arousal'], values[..., 1], 1e-5)


def test_stills_and_single_images(model, clips):
  clip = model.predict(clips.image[:3, :1])
  stills = model.predict(clips.image[:3, 0])
  one = model.predict(clips.image[1, 0])
  assert stills.probabilities['va'].shape == (3, 2, 20)
  assert one.uncertainty['expr'].total.shape == ()
  assert one.members['expr'].shape == (2, 7)
  np.testing.assert_allclose(
    clip.probabilities['expr'][:, 0], stills.probabilities['expr'], atol=1e-6
  )
  np.testing.assert_allclose(
    one.probabilities['au'], stills.probabilities['au'][1], atol=1e-6
  )


def test_other_sizes_are_resized_as_when_data_are_prepared(model):
  image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
  small = Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)
  a, b = model.predict(image), model.predict(np.asarray(small))
  np.testing.assert_array_equal(a.probabilities['au'], b.probabilities['au'])
  grey = image[..., :1]
  a, b = model.predict(grey), model.predict(np.repeat(grey, 3, -1))
  np.testing.assert_array_equal(a.probabilities['au'], b.probabilities['au'])


ONE = np.zeros((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
  ('image', 'message'),
  [
    (np.zeros((1, 32, 32, 3)), 'dtype float64: expected uint8'),
    (np.zeros((1, 32, 32, 5), np.uint8), 'C = 1 or 3'),
    (np.zeros((0, 32, 32, 3), np.uint8), 'at least one frame'),
    (np.zeros(3, np.uint8), r'shape \(3,\): expected'),
    ('faces/a.png', r"a path, 'faces/a.png': open it .*convert\('RGB'\)"),
    (pathlib.Path('a.png'), "a path, 'a.png'"),
    (b'a.png', "a path, 'a.png'"),
    (
      np.zeros((32, 32), np.uint8),
      r'image\[\.\.\., np\.newaxis\] if it is a gr',
    ),
    (np.zeros((1, 32, 32, 4), np.uint8), r'RGBA has: pass image\[\.\.\., :3\]'),
    (np.zeros((32, 32, 4), np.uint8), 'RGBA has'),
    ([ONE, ONE[1:]], 'several sizes to one size, or predict them one by one'),
    ([ONE, ONE[..., :1]], 'several sizes'),
    ([None], 'no array of one shape'),
    (None, 'no array of one shape'),
    (Image.fromarray(ONE[..., 0]), r"mode L: pass image\.convert\('RGB'\)"),
    (Image.fromarray(ONE).convert('P'), 'mode P: pass'),
  ],
)
def test_other_inputs_are_refused(model, image, message):
  with pytest.raises(ValueError, match=message):
    model.predict(image)


def test_pictures_and_lists_of_arrays_are_images(model):
  image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
  expected = model.predict(image).probabilities['au']
  found = model.predict(Image.fromarray(image)).probabilities['au']
  np.testing.assert_array_equal(found, expected)
  found = model.predict([image, image]).probabilities['au']
  np.testing.assert_allclose(found, [expected, expected], atol=1e-6)


def test_sound_is_refused_by_models_that_do_not_listen(model, clips):
  with pytest.raises(release.ModelError, match='does not listen'):
    model.predict(clips.image[:1], np.zeros((1, 2, 64, 64), np.float32))


def test_one_member_of_an_earlier_generation(run, clips, tmp_path):
  out = exporting.export(run, tmp_path / 'one', 'Tea', [1], validate=False)
  model = emojax.load(out)
  output = model.predict(clips.image)
  logits = corrected(run, 'Tea')['expr'][1:]
  probs = uncertainty.probabilities(run.schema[1], logits)
  np.testing.assert_allclose(output.members['expr'], probs, atol=1e-6)
  np.testing.assert_allclose(output.uncertainty['expr'].epistemic, 0, atol=1e-6)
  with pytest.raises(release.ModelError, match='without temperatures'):
    model.predict(clips.image, temperature=True)
  card = (out / 'README.md').read_text()
  assert 'all 2 members of the run, of which this folder has 1' in card
  assert '\nmodel.unsure(output' not in card
  assert (
    'model.unsure(output) needs thresholds, which this model has not' in card
  )
  with pytest.raises(release.ModelError, match='exported without validation'):
    model.unsure(output)


def test_card_has_the_runs_numbers(run, exported):
  card = (exported / 'README.md').read_text()
  students = run.results()['generations']['Stu1']['pc']
  assert f'| {students["ensemble"]["expr/acc"]:.3f} |' in card
  mean, std = (students[k]['au/nll'] for k in ('mean', 'std'))
  assert 'all 2 members of the run; with prior correction.' in card
  assert card.count('`predict` subtracts the log weights') == 2
  assert f'| {mean:.3f} ± {std:.3f} |' in card
  assert ', '.join(tasks.AFFWILD2) in card
  assert ', '.join(tasks.AU12) in card
  assert '32 x 32, RGB, uint8; grey images are repeated (other' in card
  assert 'Seed: 0' in card
  assert '\nmodel.unsure(output, 0.1)  # frames to reject\n' in card


def test_versions_and_settings_travel(run, exported):
  metadata = json.loads((exported / 'model.json').read_text())
  assert metadata['versions']['emojax'] == emojax.__version__
  assert metadata['versions']['trained_with'] == run.environment
  assert metadata['config'] == run.config.to_dict()
  assert [t['labels'] for t in metadata['schema']][1] == list(tasks.AFFWILD2)


# Class weights.


def without_prior(run, path):
  """A copy of the run as versions without priors.json left it."""
  shutil.copytree(run.path, path)
  (path / 'priors.json').unlink()
  results = json.loads((path / 'results.json').read_text())
  for generation in results['generations'].values():
    del generation['pc']
  (path / 'results.json').write_text(json.dumps(results))
  return runs.open_run(path)


def test_exports_of_before_predict_as_before(run, model, clips):
  before = {k: v for k, v in model.metadata.items() if k != 'prior'}
  release.check_metadata(before)
  weights = {'params': model._params, 'model_state': model._state}
  output = pretrained.Model(before, weights).predict(clips.image, batch=5)
  logits = run.predictions('Stu1').logits['test']
  for task in run.schema:
    probs = uncertainty.probabilities(task, logits[task.name])
    np.testing.assert_allclose(output.members[task.name], probs, atol=1e-6)


def test_weights_of_older_runs_are_computed_from_their_data(
  run, exported, tmp_path
):
  old = without_prior(run, tmp_path / 'run')
  out = exporting.export(old, tmp_path / 'model')
  found, there = (
    json.loads((path / 'model.json').read_text()) for path in (out, exported)
  )
  assert found['prior'] == there['prior']
  assert 'without the prior correction of' in (out / 'README.md').read_text()


def test_older_runs_without_their_data_are_exported_with_a_note(
  run, clips, tmp_path, monkeypatch
):
  def gone(data):
    raise FileNotFoundError('the disk is elsewhere')

  old = without_prior(run, tmp_path / 'run')
  monkeypatch.setattr(runs.load, 'from_config', gone)
  out = exporting.export(old, tmp_path / 'model')
  model = emojax.load(out)
  assert model.prior == {}
  assert exporting.UNKNOWN_PRIOR in model.metadata['notes']
  assert 'keep the bias of the class weights' in (out / 'README.md').read_text()
  probs = model.predict(clips.image, batch=5).members['expr']
  logits = run.predictions('Stu1').logits['test']['expr']
  expected = uncertainty.probabilities(run.schema[1], logits)
  np.testing.assert_allclose(probs, expected, atol=1e-6)


def test_weights_that_are_damaged_are_not_left_out(run, tmp_path):
  shutil.copytree(run.path, tmp_path / 'run')
  path = tmp_path / 'run' / 'priors.json'
  found = json.loads(path.read_text())
  del found['generations']['Stu1']
  for text, words in (
    ('{', 'cannot be used'),
    (json.dumps(found), 'lacks Stu1'),
  ):
    path.write_text(text)
    with pytest.raises(runs.RunError, match=rf'priors\.json {words}'):
      exporting.export(runs.open_run(tmp_path / 'run'), tmp_path / 'model')
  assert not (tmp_path / 'model').exists()


# What must not load.


@pytest.fixture
def copy(exported, tmp_path):
  return shutil.copytree(exported, tmp_path / 'copy')


def edit(folder, **changes):
  path = folder / 'model.json'
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_damaged_weights(copy):
  path = copy / 'weights.safetensors'
  data = bytearray(path.read_bytes())
  data[-3] ^= 1
  path.write_bytes(data)
  with pytest.raises(release.ModelError, match=r'weights.safetensors is dam'):
    emojax.load(copy)
  path.unlink()
  with pytest.raises(release.ModelError, match=r'weights.safetensors is miss'):
    emojax.load(copy)


def test_damaged_metadata(copy):
  path = copy / 'model.json'
  path.write_text(path.read_text()[:-20])
  with pytest.raises(release.ModelError, match=r'model\.json is damaged'):
    emojax.load(copy)
  path.unlink()
  with pytest.raises(release.ModelError, match='holds no exported model'):
    emojax.load(copy)


def test_another_format(copy):
  edit(copy, format='emojax-model-9')
  with pytest.raises(release.ModelError, match='install the version that'):
    emojax.load(copy)


def test_labels_that_are_not_the_expected_ones(copy):
  emojax.load(copy, tasks.ABAW2021)
  with pytest.raises(ValueError, match='label schema differs'):
    emojax.load(copy, tasks.ABAW2020)


# What must not be written.


def weights_of_another_run(run, monkeypatch, change):
  real = runs.TrainedRun.weights

  def weights(self, *arguments):
    return jax.tree.map(change, real(self, *arguments))

  monkeypatch.setattr(runs.TrainedRun, 'weights', weights)


def test_a_model_that_predicts_otherwise_than_the_run(
  run, tmp_path, monkeypatch
):
  weights_of_another_run(run, monkeypatch, lambda x: x * np.float32(1.05))
  message = r'does not predict au as .*run did: .* nothing was written'
  with pytest.raises(exporting.ExportError, match=message):
    exporting.export(run, tmp_path / 'model')
  assert list(tmp_path.iterdir()) == []


def test_rounding_is_no_difference(run, tmp_path, monkeypatch):
  weights_of_another_run(run, monkeypatch, lambda x: x * np.float32(1 + 1e-6))
  assert exporting.export(run, tmp_path / 'model').is_dir()


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_weights_that_are_not_finite(run, tmp_path, monkeypatch, bad):
  real = runs.checkpoint.load_tree

  def load_tree(path):
    tree = jax.tree.map(np.array, real(path))
    jax.tree.leaves(tree)[-1].flat[-1] = bad
    return tree

  monkeypatch.setattr(runs.checkpoint, 'load_tree', load_tree)
  with pytest.raises(runs.RunError, match=r'Stu1 are not finite: the network'):
    exporting.export(run, tmp_path / 'model', validate=False)
  assert list(tmp_path.iterdir()) == []


def test_predictions_that_are_not_finite(run, tmp_path, monkeypatch):
  real = runs.TrainedRun.predictions

  def predictions(self, name):
    found = real(self, name)
    found.logits['val']['expr'][0, 0, 0, 0] = np.nan
    return found

  monkeypatch.setattr(runs.TrainedRun, 'predictions', predictions)
  with pytest.raises(
    exporting.ExportError, match='predictions of expr by Stu1'
  ):
    exporting.export(run, tmp_path / 'model')


def test_nothing_is_overwritten(run, exported, tmp_path):
  with pytest.raises(exporting.ExportError, match='exists already'):
    exporting.export(run, exported)
  (tmp_path / 'empty').mkdir()
  out = exporting.export(run, tmp_path / 'empty', validate=False)
  assert (out / 'model.json').exists()


def test_a_failed_export_leaves_nothing(run, tmp_path, monkeypatch):
  def fail(*arguments):
    raise OSError('disk full')

  monkeypatch.setattr(exporting.os, 'replace', fail)
  with pytest.raises(exporting.ExportError, match=r'written \(disk full\)'):
    exporting.export(run, tmp_path / 'model', validate=False)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('what', ['export', 'convert'])
def test_interrupted_it_says_so(
  run_path, exported, tmp_path, monkeypatch, capsys, what
):
  def stop(*_, **__):
    raise KeyboardInterrupt

  monkeypatch.setattr(exporting, what, stop)
  source = {'export': f'--workdir={run_path}', 'convert': f'--model={exported}'}
  assert export.main([source[what], f'--out={tmp_path / "model"}']) == 130
  assert capsys.readouterr().err == 'stopped; nothing was written\n'


def test_command_line(run_path, tmp_path, capsys):
  out = tmp_path / 'model'
  arguments = [f'--workdir={run_path}', f'--out={out}', '--members=0']
  assert export.main(arguments) == 0
  assert f'{out} is ready' in capsys.readouterr().out
  assert export.main(arguments) == 1
  assert 'error: --out' in capsys.readouterr().err
  wrong = [f'--workdir={run_path}', f'--out={out}2', '--generation=Stu7']
  assert export.main(wrong) == 1
  assert "no finished generation 'Stu7'" in capsys.readouterr().err


def test_kernels_of_half_the_size_give_the_same_answers(
  run, run_path, exported, clips, tmp_path
):
  out = tmp_path / 'half'
  flags = [f'--workdir={run_path}', f'--out={out}', '--half']
  assert export.main(flags) == 0
  sizes = [(f / 'weights.safetensors').stat().st_size for f in (out, exported)]
  assert sizes[0] < 0.75 * sizes[1]  # the small network is half statistics
  half, whole = (
    emojax.load(f).predict(clips.image, batch=5) for f in (out, exported)
  )
  for name, probs in whole.probabilities.items():
    np.testing.assert_allclose(half.probabilities[name], probs, atol=0.02)
  # Not the same numbers: rounding is really there.
  assert not np.array_equal(half.members['au'], whole.members['au'])


def test_only_kernels_are_rounded():
  weights = {
    'params/conv/kernel': np.full([1, 2, 2], 1 / 3, np.float32),
    'params/conv/bias': np.full([1, 2], 1 / 3, np.float32),
    'model_state/batch_stats/norm/var': np.full([1, 2], 1e-9, np.float32),
  }
  kept = {name: arrays.half(name, a).dtype.name for name, a in weights.items()}
  assert list(kept.values()) == ['float16', 'float32', 'float32']


def test_exports_do_not_say_where_files_lay(run):
  config = run.config.copy_and_resolve_references()
  config.data.path = '/home/somebody/data/ferplus'
  config.data.ood_path = '/home/somebody/cifar10,fashion'
  config.model.pretrained = '/home/somebody/face.pth'
  found = describing._shareable(config)
  assert found['data']['path'] == 'ferplus'
  assert found['data']['ood_path'] == 'cifar10,fashion'
  assert found['model']['pretrained'] == 'face.pth'
  assert config.data.path == '/home/somebody/data/ferplus'


def test_kernels_that_float16_cannot_hold_are_refused(
  run, tmp_path, monkeypatch
):
  weights_of_another_run(run, monkeypatch, lambda x: x * np.float32(1e7))
  with pytest.raises(exporting.ExportError, match='without --half'):
    exporting.export(run, tmp_path / 'model', validate=False, half=True)
  assert list(tmp_path.iterdir()) == []


def test_labels_that_no_training_frame_showed_are_said(run, model):
  (known,) = describing._unseen(run)  # some classes are very rare
  assert known.startswith('no training frame shows ')
  assert known in model.metadata['notes']

  def of(results):
    return describing._unseen(types.SimpleNamespace(results=lambda: results))

  assert of(None) == []  # not finished
  assert of({}) == []
  assert (
    'shows au AU23, expr fear: ' in of({'unseen': ['au AU23', 'expr fear']})[0]
  )


def test_unknown_colours_are_said(run):
  data = run.config.data.copy_and_resolve_references()
  assert describing._colours(3, data)[1] == []
  data.name, data.path = 'prepared', '/nowhere/at/all'
  said, notes = describing._colours(3, data)
  assert 'grey' not in said
  assert 'make images grey yourself' in notes[0]
  assert describing._colours(1, data)[1] == []
