"""A real browser opens the page: Python's numbers, and no crash on odd inputs."""

import dataclasses
import io
import shutil

import browser
import made_model
import numpy as np
import pytest
import skimage.data
from PIL import Image

import emojax
from emojax import export

pytest.importorskip('onnx', reason="needs the extra 'onnx'")
pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(browser.find() is None, reason='needs chromium'),
]

HOSTILE = '<img src=x onerror="document.title=1">'
READY = "document.documentElement?.dataset.ready === 'true'"
LISTEN = """
window.heard = [];
document.addEventListener('emojax-answers', ({detail}) => heard.push(detail));
"""
PROBLEM = "document.getElementById('problem').textContent"
# Processor time is shared with whatever else runs: 0.8 were seen at a load of ten.
LEAST_RATE = 0.2
CLOSE = {'atol': 1e-3, 'rtol': 0}


@pytest.fixture(scope='module')
def astronaut():
  return skimage.data.astronaut()


@pytest.fixture(scope='module')
def votes(tmp_path_factory, runtime_files):
  """The page of the model of this package."""
  del runtime_files  # there, or the tests are skipped
  out = tmp_path_factory.mktemp('browser') / 'votes'
  assert export.main(['--model=ferplus', f'--out={out}', '--format=web']) == 0
  return out


@pytest.fixture(scope='module')
def every(tmp_path_factory, runtime_files):
  """The page of a model of all tasks, one of whose labels is markup."""
  del runtime_files
  root = tmp_path_factory.mktemp('browser')
  schema = tuple(
    dataclasses.replace(task, labels=(HOSTILE, *task.labels[1:]))
    if task.kind == 'categorical'
    else task
    for task in made_model.ALL
  )
  prior = {
    task.name: {name: 0.1 * i for i, name in enumerate(task.labels)}
    for task in schema
    if task.kind != 'binned'
  }
  said = made_model.metadata(schema, members=2, prior=prior)
  model = made_model.write(root / 'model', said)
  out = root / 'page'
  assert export.main([f'--model={model}', f'--out={out}', '--format=web']) == 0
  return out


@pytest.fixture(scope='module')
def camera(astronaut, tmp_path_factory):
  """A film of somebody who moves to the side, as Chromium's fake camera plays."""
  path = tmp_path_factory.mktemp('camera') / 'camera.mjpeg'
  person = np.asarray(Image.fromarray(astronaut).resize((480, 480)))
  wide = np.pad(person, ((0, 0), (80, 80), (0, 0)), 'edge')
  with open(path, 'wb') as file:
    for i in range(20):
      moved = Image.fromarray(np.roll(wide, 2 * i, 1))
      moved.save(file, 'JPEG', quality=92)
  return path


@pytest.fixture(scope='module')
def tab(camera, tmp_path_factory):
  flags = (
    '--use-fake-ui-for-media-stream',
    '--use-fake-device-for-media-stream',
    f'--use-file-for-fake-video-capture={camera}',
  )
  with browser.Browser(tmp_path_factory.mktemp('profile'), *flags) as found:
    yield found


@pytest.fixture(scope='module')
def votes_url(votes):
  with browser.served(votes) as url:
    yield url


@pytest.fixture
def page(tab, votes_url):
  yield opened(tab, votes_url)
  # Nothing went wrong unnoticed, and nothing was asked of others.
  assert tab.errors == []
  for request in tab.requests:
    assert request.startswith((votes_url, f'blob:{votes_url}'))


def opened(tab, url):
  tab.errors.clear()
  tab.requests.clear()
  tab.resize(1280, 900)
  tab.send('Page.navigate', url=url)
  tab.wait(READY, 300)
  tab.evaluate(LISTEN)
  return tab


def asked(tab, path, seconds=300):
  """What the page says of a file: a dictionary for each face, or None."""
  tab.evaluate('heard.length = 0')
  tab.choose('#file', path)
  tab.wait('heard.length > 0', seconds)
  return tab.evaluate('heard[0].answers')


def saved(image, path, **options):
  Image.fromarray(image).save(path, **options)
  return path


def same(faces, table, schema, layout=lambda task, label: label):
  """Asserts that a page and a table say the same of every face."""
  assert len(faces) == len(table['x']) > 0
  for i, face in enumerate(faces):
    box = [table[name][i] for name in 'xywh']
    np.testing.assert_allclose(face['box'], box, atol=0.05, rtol=0)
    np.testing.assert_allclose(face['score'], table['score'][i], **CLOSE)
    sharp = face['quality']['sharpness']
    np.testing.assert_allclose(sharp, table['sharpness'][i], **CLOSE)
    assert face['unsure'] == table['unsure'][i]
    assert ';'.join(face['reasons']) == table['reason'][i]
    for task, said in zip(schema, face['tasks'], strict=True):
      same_task(task, said, table, i)


def same_task(task, said, table, i):
  for kind, value in said['doubt'].items():
    np.testing.assert_allclose(value, table[f'{task.name}_{kind}'][i], **CLOSE)
  if task.kind == 'binned':
    for one in said['values']:
      for key, ending in (('value', ''), ('low', '_low'), ('high', '_high')):
        expected = table[one['label'] + ending][i]
        np.testing.assert_allclose(one[key], expected, **CLOSE)
    return
  for k, label in enumerate(task.labels):
    np.testing.assert_allclose(said['numbers'][k], table[label][i], **CLOSE)
    spread = table[f'{label}_sd'][i]
    np.testing.assert_allclose(said['spread'][k], spread, **CLOSE)
  chosen = [x for x, is_ in zip(task.labels, said['chosen']) if is_]
  column = 'answer' if task.kind == 'categorical' else f'{task.name}_answer'
  assert '+'.join(chosen) == table[column][i]
  if said['set'] is not None:
    held = [x for x, is_ in zip(task.labels, said['set']) if is_]
    assert '|'.join(held) == table['answer_set'][i]


def test_the_numbers_of_a_photo(page, votes, astronaut, tmp_path):
  path = saved(astronaut, tmp_path / 'photo.png')
  faces = asked(page, path)
  model = emojax.load(votes)
  same(faces, emojax.predict(str(path), model=model), model.schema)
  assert faces[0]['tasks'][0]['set'] is not None
  shown = page.evaluate("document.getElementById('answers').innerText")
  assert 'happiness' in shown
  assert 'Answer set of 90' in shown
  status = page.evaluate("document.getElementById('status').textContent")
  assert status.startswith('1 face: happiness')


def test_the_numbers_of_many_faces_in_tiles(page, votes, astronaut, tmp_path):
  """Small, blurred and mirrored ones, in a picture that is looked at in tiles."""
  small = np.asarray(Image.fromarray(astronaut).resize((340, 340)))
  dim = np.asarray(
    Image.fromarray(astronaut).resize((60, 60)).resize((340, 340))
  )
  row = np.hstack([small, small[:, ::-1], dim, small // 2, *[small] * 4])
  image = np.ascontiguousarray(row[:, :2700])
  path = saved(image, tmp_path / 'many.png')
  model = emojax.load(votes)
  table = emojax.predict(str(path), model=model)
  assert len(table['x']) >= 6
  same(asked(page, path), table, model.schema)


def test_pictures_are_turned_as_their_files_say(
  page, votes, astronaut, tmp_path
):
  turned = np.rot90(astronaut)  # which the file says is to be turned back
  exif = Image.Exif()
  exif[0x0112] = 6
  path = saved(
    np.ascontiguousarray(turned), tmp_path / 'turned.jpg', exif=exif, quality=95
  )
  (face,) = asked(page, path)
  table = emojax.predict(str(path), model=emojax.load(votes))
  # Decoders of JPEG differ by a level here and there.
  box = [table[name][0] for name in 'xywh']
  np.testing.assert_allclose(face['box'], box, atol=1)
  happy = face['tasks'][0]['numbers'][1]
  np.testing.assert_allclose(happy, table['happiness'][0], atol=0.02)


@pytest.mark.parametrize(
  ('name', 'content', 'expected'),
  [
    ('notes.txt', b'no picture', 'notes.txt cannot be read as a picture'),
    ('empty.png', b'', 'empty.png is empty'),
    ('film.mp4', b'\0\0\0\x18ftypmp42', 'film.mp4 is a video'),
    ('cut.png', None, 'cut.png cannot be read as a picture'),
    ('evil<b>.png', b'x', 'evil<b>.png cannot be read'),
  ],
)
def test_files_that_are_no_pictures_are_explained(
  page, name, content, expected, tmp_path, astronaut
):
  if content is None:
    with io.BytesIO() as file:
      Image.fromarray(astronaut).save(file, 'PNG')
      content = file.getvalue()[:200]
  path = tmp_path / name
  path.write_bytes(content)
  assert asked(page, path) is None
  assert page.evaluate(PROBLEM).startswith(expected)
  # The page goes on.
  assert (
    asked(page, saved(np.zeros((1, 1, 3), np.uint8), tmp_path / 'a.png')) == []
  )
  assert page.evaluate(PROBLEM).startswith('No face was found')


@pytest.mark.parametrize('size', [(2, 3000), (3000, 2), (48, 48)])
def test_pictures_of_any_shape_have_an_answer(page, size, tmp_path):
  image = np.full((*size, 3), 127, np.uint8)
  assert asked(page, saved(image, tmp_path / 'odd.png')) == []


def test_a_huge_picture_is_refused_or_read(page, tmp_path):
  path = tmp_path / 'huge.png'
  Image.new('L', (12000, 9000)).save(path)
  assert asked(page, path) is None
  said = page.evaluate(PROBLEM)
  assert 'more than 100 million' in said or 'too large' in said


def test_the_webcam(page, votes):
  page.evaluate("heard.length = 0; document.getElementById('camera').click()")
  page.wait('heard.length >= 25', 300)  # past the first, slow ones
  heard = page.evaluate('heard')
  assert all(len(one['answers']) == 1 for one in heard)
  names = [face['tasks'][0]['labels'] for face in heard[-1]['answers']]
  assert names == [list(emojax.load(votes).schema[0].labels)]
  left = [one['answers'][0]['box'][0] for one in heard]
  assert len({round(x) for x in left}) > 1  # who moves is followed
  rate = page.evaluate("document.getElementById('rate').textContent")
  print(rate)
  assert float(rate.split()[0]) >= LEAST_RATE
  assert page.evaluate("document.getElementById('video').srcObject !== null")
  page.evaluate("document.getElementById('camera').click()")
  assert page.evaluate("document.getElementById('video').srcObject === null")
  count = page.evaluate('heard.length')
  page.evaluate('new Promise((done) => setTimeout(done, 3000))')
  assert page.evaluate('heard.length') <= count + 1


@pytest.mark.parametrize(
  ('error', 'expected'),
  [
    ('NotAllowedError', 'not allowed to use the camera'),
    ('NotFoundError', 'No camera was found'),
    ('NotReadableError', 'in use by another program'),
  ],
)
def test_a_camera_that_is_refused(page, error, expected):
  page.evaluate(
    'heard.length = 0; navigator.mediaDevices.getUserMedia = () => '
    f"Promise.reject(new DOMException('', '{error}'));"
    "document.getElementById('camera').click()"
  )
  page.wait('heard.length > 0')
  assert expected in page.evaluate(PROBLEM)
  pressed = "document.getElementById('camera').getAttribute('aria-pressed')"
  assert page.evaluate(pressed) == 'false'


@pytest.mark.parametrize('width', [320, 390, 800, 1280])
def test_a_page_is_no_wider_than_its_window(page, width, astronaut, tmp_path):
  asked(page, saved(astronaut, tmp_path / 'photo.png'))
  page.resize(width, 800, dark=True, mobile=width < 500)
  assert page.evaluate('document.documentElement.scrollWidth') <= width


def test_controls_have_names(page):
  page.send('Accessibility.enable')
  nodes = page.send('Accessibility.getFullAXTree')['nodes']
  named = {
    (node['role']['value'], node['name']['value'])
    for node in nodes
    if not node['ignored'] and 'name' in node
  }
  controls = {pair for pair in named if pair[0] == 'button'}
  assert ('button', 'Use the webcam') in controls
  assert any('Choose a picture' in name for _, name in controls)
  assert all(name for _, name in controls)


def test_all_tasks_and_labels_that_are_markup(tab, every, astronaut, tmp_path):
  path = saved(astronaut, tmp_path / 'photo.png')
  model = emojax.load(every)
  with browser.served(every) as url:
    opened(tab, url)
    faces = asked(tab, path)
    assert tab.evaluate("document.querySelectorAll('img').length") == 0
    assert tab.evaluate('document.title') == 'What people would say of a face'
    shown = tab.evaluate("document.getElementById('answers').innerText")
  assert HOSTILE in shown
  assert 'valence' in shown
  same(faces, emojax.predict(str(path), model=model), model.schema)
  assert tab.errors == []


def test_others_are_out_of_reach(tab, votes_url, tmp_path):
  """The policy forbids what no script of the page tries."""
  opened(tab, votes_url)
  with browser.served(tmp_path) as other:
    for ask in (
      f"fetch('{other}')",
      f"import('{other}x.js')",
      f"new Promise((_, no) => {{ const i = new Image(); i.onerror = no; i.src = '{other}' }})",
    ):
      said = tab.evaluate(f"{ask}.then(() => 'open', () => 'refused')")
      assert said == 'refused'
  assert any('Security Policy' in str(error) for error in tab.errors)


def test_opened_as_a_file_it_says_what_to_do(tab, votes):
  tab.send('Page.navigate', url=(votes / 'index.html').as_uri())
  # What is not visible yet has no such text.
  text = "document.getElementById('stopped')?.innerText"
  tab.wait(f"{text}?.includes('python -m http.server')", 60)


@pytest.mark.parametrize(
  ('name', 'content', 'expected'),
  [
    ('model.onnx', 'detector/pnet.onnx', 'model.onnx is not the one'),
    ('page/about.json', 'index.html', 'about.json is not what the export'),
    ('page/about.json', None, 'about.json is missing (404)'),
  ],
)
def test_a_folder_with_another_file_names_it(
  tab, votes, name, content, expected, tmp_path
):
  folder = shutil.copytree(votes, tmp_path / 'page')
  (folder / name).unlink()
  if content is not None:
    shutil.copy(votes / content, folder / name)
  with browser.served(folder) as url:
    tab.send('Page.navigate', url=url)
    tab.wait("document.getElementById('problem')?.textContent", 60)
    assert expected in tab.evaluate(PROBLEM)
