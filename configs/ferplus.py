"""Self-distillation judged by annotators' votes: EMENet-V on FER+.

  python -m emojax.data.prepare ferplus --source DOWNLOADS --out DATA/ferplus \
    --size 48 --option unlabelled=true --option unlabelled_train=true \
    --option duplicates=drop_training
  python -m emojax.main --config=configs/ferplus.py \
    --config.data.path=DATA/ferplus --workdir=runs/ferplus

Teachers see one hard label per training face, the emotion that has more than half
of its ten votes, as paper 000's setting demands; students learn what their teachers
say of all training faces, those without such a majority too
(`data.unlabelled_train`). The votes themselves only judge: on all faces of the test
split, again with those without a majority (`data.unlabelled`).

FER2013's PublicTest split is the test; what is chosen (epochs, temperatures) is
chosen on a tenth of the training faces. Presets after the colon:

  votes        five teachers and two generations of students (the default)
  multinomial  the same teachers, no students, on data prepared with
               `--option rule=raw`: labels are the shares of all votes, and
               cross-entropy with them is the multinomial likelihood of the votes.
               What any claim about students of hard labels has to beat
  tiny         a look at every part; the numbers mean nothing

Several runs that differ in `seed` and `data.seed` are compared with each other, and
with what is simpler than students, by benchmarks/ferplus_controls.py.

Foreign images to tell apart come from other prepared data sets, with commas
between their folders, e.g. CIFAR-10 and Fashion-MNIST in grey at 48 pixels:

  python -m emojax.data.prepare cifar10 --source CIFAR --out DATA/cifar10 \
    --size 48 --channels 1
  ... --config.data.ood_path=DATA/cifar10,DATA/fashion_mnist
"""

import pathlib
import runpy
import types

from ml_collections import ConfigDict

common = types.SimpleNamespace(
  **runpy.run_path(str(pathlib.Path(__file__).with_name('common.py')))
)


def votes() -> ConfigDict:
  """Fifteen networks; two to three hours on two CPU cores (docs/training.md)."""
  config = ConfigDict()
  config.experiment = 'distillation'
  config.seed = 0
  config.generations = 2  # of students, after the teachers

  config.data = ConfigDict()
  config.data.name = 'prepared'
  config.data.path = ''
  config.data.image_size = 48
  config.data.clip_length = 1
  config.data.audio = False
  config.data.seed = 0
  # PublicTest, as FER+ calls it, is the test.
  common.prepared_data(config.data, test_split='validation')
  config.data.val_fraction = 0.1  # of the training faces
  config.data.val_split = ''  # not used: see val_fraction
  config.data.unlabelled = True  # test faces without a majority, too
  # Students also learn from training faces without a label, if the data were
  # prepared with --option unlabelled_train=true.
  config.data.unlabelled_train = True
  config.data.ood_limit = 2000  # images of each of these; 0: all
  config.data.ood_clips = 1797  # images of each set that needs no files

  config.model = ConfigDict()
  config.model.name = 'emenet_v'
  config.model.width = 0.375
  config.model.hidden = 64
  config.model.dropout = 0.3
  config.model.head = 'paper'
  config.model.dtype = 'float32'
  config.model.pretrained = ''

  config.ensemble = ConfigDict()
  config.ensemble.size = 5

  config.distill = ConfigDict()
  # 'mean' of the teachers, as in the paper; 'hydra', 'dirichlet', 'credal',
  # 'logit_gaussian' or 'beta': students that are one network each and answer as all
  # teachers do (docs/one-network.md).
  config.distill.method = 'mean'
  config.distill.students = 0  # of a generation; 0: as many as teachers
  config.distill.teachers = ''  # or a finished run, whose teachers are taken

  config.train = ConfigDict()
  config.train.epochs = 26
  config.train.clips_per_task = 64
  config.train.max_steps = 0
  config.train.learning_rate = 3e-3
  common.schedule(config.train, decay_every=4)
  config.train.schedule = 'cosine'
  config.train.warmup_epochs = 1.0
  config.train.weight_decay = 0.05  # decoupled, of kernels
  config.train.select = 'nll'  # what chooses the epoch; or 'total'
  config.train.mixup = 0.0  # alpha of mixup; 0: none
  config.train.augment = 'ferplus'  # shift, scale, rotation, skew and flip
  config.train.augment_per = 'frame'
  config.train.balance = 'off'  # there is one task

  config.loss = ConfigDict()
  # Weights by class would ask for other probabilities than the annotators'.
  config.loss.reweight = False
  config.loss.weight_power = 1.0  # of such weights; 0.5: their square roots
  config.loss.reweight_students = False
  config.loss.correct_teachers = False
  config.loss.label_smoothing = 0.0  # of hard labels
  config.loss.bin_values = 'ends'

  config.eval = ConfigDict()
  config.eval.mc_samples = 20
  config.eval.floor = 0.80  # accuracy (majority labels) to test claims from
  config.eval.flip = False  # predictions over a face and its mirror image

  common.runtime(config, predict_clips=64)
  config.runtime.batch_devices = 1
  return config


def multinomial() -> ConfigDict:
  """Networks that learn from the votes; a third of the time of the default."""
  config = votes()
  config.generations = 0
  config.data.unlabelled_train = False  # no face with a vote lacks a label
  return config


def tiny() -> ConfigDict:
  """A look at every part; the numbers mean nothing."""
  config = votes()
  config.generations = 1
  config.data.image_size = 32
  shrink(config)
  return config


def shrink(config: ConfigDict):
  """Makes networks and training so small that a run is a look at its parts."""
  config.data.ood_limit = 20
  config.data.ood_clips = 20
  config.model.width = 0.0625
  config.model.hidden = 8
  config.ensemble.size = 2
  config.train.epochs = 1
  config.train.warmup_epochs = 0.0
  config.train.clips_per_task = 16
  config.train.max_steps = 4
  config.eval.mc_samples = 2


PRESETS = {f.__name__: f for f in (votes, multinomial, tiny)}


def get_config(preset: str = 'votes') -> ConfigDict:
  """Returns the configuration of a preset."""
  return common.choose(PRESETS, 'ferplus', preset)
