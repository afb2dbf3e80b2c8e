"""Installs emojax: `pip install -e .` (see README.md for the extras)."""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
  r"__version__ = '(.+)'", (HERE / 'emojax' / '__init__.py').read_text()
).group(1)

AUDIO = ['librosa>=0.11', 'soundfile>=0.12']
VIDEO = ['av>=14']
TEST = ['pytest>=8', 'pytest-xdist>=3.6', 'hypothesis>=6.100', 'ruff==0.17.6']

setuptools.setup(
  name='emojax',
  version=VERSION,
  description='Emotion recognition with uncertainty, in JAX and Flax.',
  long_description=(HERE / 'README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['emojax', 'emojax.*']),
  install_requires=[
    'absl-py>=2.1',
    'array_record>=0.8',
    'clu>=0.0.12',
    'filelock>=4',
    'flax>=0.12',
    'grain>=0.2.15',
    'importlib_resources>=6',
    'jax>=0.10',
    'matplotlib>=3.9',
    'ml_collections>=1.1',
    'numpy>=2.0',
    'optax>=0.2.5',
    'orbax-checkpoint>=0.11.30',
    'pillow>=11',
    'rich>=14',
    'safetensors>=0.5',
    'scikit-learn>=1.6',
    'scipy>=1.14',
    'simplejpeg>=1.9',
    'tensorflow-datasets>=4.9.9',
  ],
  extras_require={
    'cuda': ['jax[cuda12]>=0.10'],
    'tpu': ['jax[tpu]>=0.10'],
    'audio': AUDIO,
    'video': VIDEO,
    'test': TEST + AUDIO + VIDEO,
    'parity': ['torch==2.13.0'],
  },
)
