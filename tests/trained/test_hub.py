"""Models to and from the hub, by the hub's own client and a server beside it."""

import importlib
import io
import re
import sys

import fake_hub
import numpy as np
import pytest

import emojax
from emojax import cli
from emojax.host import program
from emojax.trained import front_matter, hub, shipped
from emojax.trained.folder import ModelError

FILES = {'README.md', 'model.json', 'weights.safetensors'}
pytest.importorskip('huggingface_hub', reason='needs the extra `hub`')


def forget():
  """The client reads its settings when it is imported."""
  for name in [n for n in sys.modules if n.split('.')[0] == 'huggingface_hub']:
    del sys.modules[name]


@pytest.fixture
def server(monkeypatch, tmp_path):
  made = fake_hub.Hub()
  monkeypatch.setenv('HF_ENDPOINT', made.url)
  monkeypatch.setenv('HF_HOME', str(tmp_path / 'home'))
  monkeypatch.setenv('HF_TOKEN', 'hf_good')
  monkeypatch.setenv('HF_HUB_DISABLE_PROGRESS_BARS', '1')
  monkeypatch.setenv('HF_HUB_DISABLE_TELEMETRY', '1')
  for name in ('HF_HUB_CACHE', 'HF_HUB_OFFLINE', 'HF_TOKEN_PATH'):
    monkeypatch.delenv(name, raising=False)
  forget()
  yield made
  made.shutdown()
  made.server_close()
  forget()


@pytest.fixture
def folder():
  return shipped.FOLDER / 'ferplus'


@pytest.fixture
def there(server, folder):
  """A repository that has the model, and what a stranger may have added."""
  files = {name: (folder / name).read_bytes() for name in FILES}
  files |= {'evil.py': b'raise SystemExit', 'pytorch_model.bin': b'\x80'}
  made = server.repositories['ann/ferplus'] = fake_hub.Repository(files)
  return made


def faces():
  return np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)


def same(name):
  """Whether a model of the hub is the shipped one: digests of weights are compared
  with them when it is loaded."""
  return emojax.load(name).metadata == emojax.load('ferplus').metadata


@pytest.mark.slow
def test_a_model_of_the_hub_predicts_as_the_folder(there):
  found, expected = (
    emojax.load(name).predict(faces()).probabilities['expr']
    for name in ('hf://ann/ferplus', 'ferplus')
  )
  assert np.array_equal(found, expected)


def test_a_model_of_the_hub_is_the_folder(server, there, tmp_path):
  assert same('hf://ann/ferplus')
  snapshot = hub.fetch('hf://ann/ferplus')
  assert tmp_path in snapshot.parents
  assert {p.name for p in snapshot.iterdir()} == FILES
  asked = ' '.join(path for _, path in server.seen)
  assert 'evil.py' not in asked
  assert 'pytorch_model.bin' not in asked


@pytest.mark.slow
def test_revisions(there):
  old = there.refs['main']
  there.refs['v1'] = old
  there.commit('main', {'model.json': b'{}'})
  assert same('hf://ann/ferplus@v1')
  assert same(f'hf://ann/ferplus@{old}')
  with pytest.raises(ModelError, match='has format None'):
    emojax.load('hf://ann/ferplus')
  with pytest.raises(ModelError, match=r'@v2: there is no such revision'):
    emojax.load('hf://ann/ferplus@v2')


@pytest.mark.slow
@pytest.mark.parametrize('down', ['gone', 'offline'])
def test_what_is_in_the_cache_needs_no_network(
  server, there, monkeypatch, down
):
  hub.fetch('hf://ann/ferplus')
  if down == 'gone':
    server.shutdown()
    server.server_close()
  else:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
  forget()
  seen = len(server.seen)
  assert same('hf://ann/ferplus')
  assert len(server.seen) == seen
  with pytest.raises(
    ModelError, match='cannot be reached, and the whole model'
  ):
    emojax.load('hf://ann/other')


@pytest.mark.slow
def test_newer_states_are_seen(there):
  hub.fetch('hf://ann/ferplus')
  there.commit('main', {'README.md': b'# another card\n'})
  found = hub.fetch('hf://ann/ferplus')
  assert (found / 'README.md').read_bytes() == b'# another card\n'


@pytest.mark.slow
def test_damage_is_noticed(there, folder):
  data = bytearray((folder / 'weights.safetensors').read_bytes())
  data[-1] ^= 1
  there.commit('main', {'weights.safetensors': bytes(data)})
  with pytest.raises(ModelError, match='SHA-256'):
    emojax.load('hf://ann/ferplus')


def test_what_cannot_be_had(server, there):
  with pytest.raises(ModelError, match='no such repository, or it is private'):
    emojax.load('hf://ann/nothing')
  there.error = fake_hub.GATED
  with pytest.raises(ModelError, match='is gated: ask for access'):
    emojax.load('hf://ann/ferplus')
  server.repositories['ann/bert'] = fake_hub.Repository({'README.md': b'#'})
  with pytest.raises(ModelError, match=r'no model of emojax: model\.json is'):
    emojax.load('hf://ann/bert')


@pytest.mark.parametrize(
  'name',
  [
    'hf://ann',
    'hf:/ann/x',
    'hf://ann/x/y',
    'hf://../x',
    'hf://a/b@../c',
    'hf://',
  ],
)
def test_other_names_ask_nobody(server, name):
  with pytest.raises(ModelError, match=r'expected hf://user/name'):
    emojax.load(name)
  assert not server.seen


def test_the_extra_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
  with pytest.raises(ModelError, match=r"pip install 'emojax\[hub\]'"):
    emojax.load('hf://ann/ferplus')


@pytest.mark.slow
def test_pushed_and_loaded_again(server, folder, tmp_path, capsys):
  copy = tmp_path / 'model'
  copy.mkdir()
  for path in folder.iterdir():  # the package's folder has more than an export
    (copy / path.name).write_bytes(path.read_bytes())
  (copy / 'private.txt').write_text('mine')
  assert cli.main(['push', str(copy), 'ann/new', '--private', '--yes']) == 0
  said = capsys.readouterr().out
  made = server.repositories['ann/new']
  assert made.private
  commit, files = made.at('main')
  assert {n: (copy / n).read_bytes() for n in FILES} == files
  assert f'{server.url}/ann/new/commit/{commit}' in said
  assert 'README.md' in said
  assert 'licence of the weights: other' in said
  assert 'private.txt' not in said
  assert same('hf://ann/new')
  # Again, and to a branch: nothing is made anew.
  made.refs['draft'] = commit
  assert cli.main(['push', str(copy), 'ann/new@draft', '--yes']) == 0
  assert same('hf://ann/new@draft')


def refused(capsys, *arguments):
  assert cli.main(['push', *arguments]) == 1
  return capsys.readouterr().err


def test_a_public_repository_is_not_taken_for_private(
  server, there, folder, capsys
):
  before = dict(there.commits)
  error = refused(capsys, str(folder), 'ann/ferplus', '--private', '--yes')
  assert 'is public already' in error
  assert there.commits == before


@pytest.mark.parametrize('answer', ['', 'n\n'])
def test_nobody_or_somebody_says_no(
  server, folder, capsys, monkeypatch, answer
):
  stdin = io.StringIO(answer)
  stdin.isatty = lambda: bool(answer)
  monkeypatch.setattr('sys.stdin', stdin)
  assert 'nothing was uploaded' in refused(capsys, str(folder), 'ann/new')
  assert not server.seen


@pytest.mark.parametrize('name', sorted(FILES))
@pytest.mark.parametrize('missing', [True, False])
def test_damaged_models_are_not_uploaded(
  server, folder, tmp_path, capsys, name, missing
):
  for kept in FILES:
    (tmp_path / kept).write_bytes((folder / kept).read_bytes())
  if missing:
    (tmp_path / name).unlink()
  else:
    data = (tmp_path / name).read_bytes()
    spoiled = b'---\n: [\n---\n' if name == 'README.md' else data[:-20]
    (tmp_path / name).write_bytes(spoiled)
  assert name in refused(capsys, str(tmp_path), 'ann/new', '--yes')
  assert not server.seen


def test_without_a_login(server, folder, capsys, monkeypatch):
  monkeypatch.setenv('HF_TOKEN', 'hf_bad')
  forget()
  error = refused(capsys, str(folder), 'ann/new', '--yes')
  assert 'hf auth login' in error
  assert not server.repositories


def test_an_interrupted_upload_says_so(server, folder, capsys, monkeypatch):
  def stopped(*_):
    raise KeyboardInterrupt

  monkeypatch.setattr(hub, 'push', stopped)
  arguments = ['push', str(folder), 'ann/new', '--yes']
  assert cli.main(arguments) == program.INTERRUPTED
  assert 'stopped: all of it was uploaded or' in capsys.readouterr().err


def test_without_any_login_nobody_is_asked(server, folder, capsys, monkeypatch):
  monkeypatch.delenv('HF_TOKEN')
  forget()
  assert 'hf auth login' in refused(capsys, str(folder), 'ann/new', '--yes')
  assert not server.seen


@pytest.mark.slow
def test_predict_takes_them(there, tmp_path, capsys):
  from PIL import Image

  crops = tmp_path / 'crops'
  crops.mkdir()
  Image.fromarray(faces()[0]).save(crops / 'a.png')
  tables = []
  for model in ('hf://ann/ferplus', 'ferplus'):
    out = tmp_path / f'out{len(tables)}'
    asked = ['predict', str(crops), '--crops', '--model', model]
    asked += ['--out', str(out), '--no-overlay']
    assert cli.main(asked) == 0
    tables.append((out / 'answers.csv').read_bytes())
    assert cli.main(asked) == 0
    assert 'finished: nothing to do' in capsys.readouterr().out
  assert tables[0] == tables[1]


@pytest.mark.slow
def test_export_converts_them(there, tmp_path):
  pytest.importorskip('onnx', reason='needs the extra `onnx`')
  asked = ['export', '--model=hf://ann/ferplus', f'--out={tmp_path / "out"}']
  assert cli.main([*asked, '--format=onnx']) == 0
  found = emojax.load(tmp_path / 'out' / 'model.onnx').predict(faces())
  expected = emojax.load('ferplus').predict(faces())
  np.testing.assert_allclose(
    found.probabilities['expr'], expected.probabilities['expr'], atol=1e-5
  )


def test_the_hubs_own_parser_reads_the_card_of_the_package():
  module = importlib.import_module('huggingface_hub')
  text = (shipped.FOLDER / 'ferplus' / 'README.md').read_text()
  data = module.ModelCard(text).data
  assert data.library_name == 'emojax'
  assert data.pipeline_tag == 'image-classification'
  assert data.datasets == ['ferplus']
  assert 'accuracy' in data.metrics
  found = {r.metric_name: r for r in data.eval_results}
  best = found['accuracy (majority of the votes)']
  assert best.metric_type == 'accuracy'
  assert best.dataset_name == 'FER+'
  assert best.dataset_split == 'PublicTest'
  assert f'| {best.metric_value:.3f} |' in text
  assert front_matter.read(text)['license'] == data.license == 'other'


def test_the_hubs_own_parser_reads_the_card_of_an_export(exported):
  module = importlib.import_module('huggingface_hub')
  text = (exported / 'README.md').read_text()
  data = module.ModelCard(text).data
  assert data.license == 'unknown'
  assert data.pipeline_tag == 'video-classification'
  assert data.datasets == ['embedded']
  assert len(data.eval_results) >= 6
  for result in data.eval_results:
    row = re.search(rf'\| {re.escape(result.metric_name)} \|.*', text)[0]
    shown = float(row.split('|')[3])
    assert result.metric_value == pytest.approx(shown, abs=6e-4)
