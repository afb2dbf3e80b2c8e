"""Generations of self-distillation (paper 000): teachers, then students.

  python -m emojax.main --config=configs/gen.py --workdir=runs/first

trains an ensemble of teachers and its generations of students on the embedded
data set and opens with a report. Presets are given after a colon:

  configs/gen.py            the embedded data set; minutes on two CPU cores
  configs/gen.py:tiny       a look at every part; most of it is compilation
  configs/gen.py:paper_v    EMENet-V with the paper's hyper-parameters
  configs/gen.py:paper_va   EMENet-VA with the paper's hyper-parameters

The last two read Aff-Wild2, prepared once by `python -m emojax.data.prepare`:

  python -m emojax.main --config=configs/gen.py:paper_v \
    --config.data.path=PREPARED --workdir=runs/paper_v

Every setting, here and in configs/common.py, can be overridden, e.g.
`--config.train.epochs=3`.
"""

import pathlib
import runpy
import types

from ml_collections import ConfigDict

common = types.SimpleNamespace(
  **runpy.run_path(str(pathlib.Path(__file__).with_name('common.py')))
)


def base() -> ConfigDict:
  """All settings; what is not of one recipe alone has its value here."""
  config = ConfigDict()
  config.experiment = 'distillation'
  config.seed = 0
  config.generations = 1  # of students, after the teachers

  config.data = ConfigDict()
  config.data.name = 'embedded'  # or 'prepared', with a path
  config.data.path = ''
  config.data.image_size = 32
  config.data.clip_length = 2
  config.data.audio = False
  # Share of frames that show nothing of the face, in runs, while labels are the
  # clip's; and whether voices tell what cannot be seen ('hidden').
  config.data.hidden = 0.0
  config.data.voice = 'face'
  config.data.seed = 0
  # Clips of the embedded data set: three single-task subsets as in Aff-Wild2,
  # a subset with expression *and* valence/arousal labels, and splits that are
  # labelled in full.
  config.data.train_clips = ConfigDict(
    {'au': 1440, 'expr': 1440, 'va': 1440, 'shared': 240}
  )
  config.data.val_clips = 30
  config.data.test_clips = 80
  config.data.ood_clips = 60

  # Prepared data only.
  # Aff-Wild2 keeps its test labels.
  common.prepared_data(config.data, test_split='validation')
  # Windows over a video's valid frames (emojax/data/clips/windows.py). The published
  # code of paper 000 drops the tail in evaluation, too.
  config.data.stride = 0  # frames from clip to clip of training; 0: clip_length
  config.data.tail = 'drop'  # of a training video; or 'end', 'pad'
  config.data.eval_tail = 'pad'  # or 'drop'
  config.data.gaps = 'jump'  # over missing frames; or 'discard', 'split'

  config.model = ConfigDict()
  config.model.name = 'emenet_v'
  config.model.width = 0.25  # multiplies the channels of the trunk
  config.model.hidden = 64
  # 0.5 in the paper, for four times as many features and many more steps.
  config.model.dropout = 0.1
  # 'published': dropout after the GRU, no ReLU. It is not the published network,
  # whose GRU runs over the clips of a batch instead of the frames of a clip.
  config.model.head = 'paper'
  config.model.dtype = 'float32'
  config.model.pretrained = ''  # a PyTorch MobileFaceNet state_dict

  config.ensemble = ConfigDict()
  config.ensemble.size = 6  # even, so that two devices share it

  config.distill = ConfigDict()
  # 'mean' of the teachers, as in the paper; 'hydra', 'dirichlet', 'credal',
  # 'logit_gaussian' or 'beta': students that are one network each and answer as all
  # teachers do (docs/one-network.md).
  config.distill.method = 'mean'
  config.distill.students = 0  # of a generation; 0: as many as teachers
  config.distill.teachers = ''  # or a finished run, whose teachers are taken

  config.train = ConfigDict()
  config.train.epochs = 5
  config.train.clips_per_task = 9
  config.train.max_steps = 0  # of an epoch; 0: until the smallest subset ends
  config.train.learning_rate = 3e-3
  common.schedule(config.train, decay_every=3)
  config.train.weight_decay = 0.0  # decoupled, of kernels
  config.train.select = 'total'  # what chooses the epoch; or 'nll'
  config.train.mixup = 0.0  # alpha of mixup; 0: none
  config.train.augment = 'emenet'
  config.train.augment_per = 'frame'  # one draw per 'frame' or per 'clip'
  # Algorithm 1; 'published' (the code's, best scores start at 0) or 'off'
  config.train.balance = 'paper'

  config.loss = ConfigDict()
  config.loss.reweight = True  # p_c of Eqs. 2 and 5
  # Of these weights: 0.5, their square roots, where some classes are very rare.
  config.loss.weight_power = 1.0
  # Eq. 9 prints p_c for the students' AU loss too. That multiplies the odds by
  # p_c in every generation, which contradicts the paper's own Table 3; the
  # published code, which that table comes from, has no p_c there.
  config.loss.reweight_students = False
  # Class weights are a known bias, which prior correction takes out of predictions;
  # here also of what the teachers hand on.
  config.loss.correct_teachers = False
  config.loss.label_smoothing = 0.0  # of hard labels
  config.loss.bin_values = 'ends'  # linspace(-1, 1, 20); or bin 'centres'

  config.eval = ConfigDict()
  config.eval.mc_samples = 10
  config.eval.floor = 0.0  # accuracy below which claims are not tested; 0: none
  config.eval.flip = False  # predictions over a face and its mirror image

  common.runtime(config, predict_clips=6)
  config.runtime.batch_devices = 1
  return config


def embedded() -> ConfigDict:
  """The default: all of the paper, small enough for a laptop.

  Few members, trained for long: what many that were hardly trained agree on says
  little. In single trials of one network, batches of half the size took as many
  frames and more time, and augmentation of faces that are all drawn alike cost more
  than it gave.
  """
  config = base()
  config.data.train_clips = ConfigDict(
    {'au': 4320, 'expr': 4320, 'va': 4320, 'shared': 720}
  )
  # Longer than in training, as in the paper; a GRU that has seen two frames at a
  # time is worse after many.
  config.data.eval_clip_length = 4
  config.data.val_clips = 180
  config.data.test_clips = 480
  config.data.ood_clips = 360
  config.ensemble.size = 2
  config.train.epochs = 20
  config.train.clips_per_task = 18
  # A third of the clips, so that there are epochs to choose from.
  config.train.max_steps = 80
  config.train.learning_rate = 5e-3
  config.train.schedule = 'cosine'
  config.train.warmup_epochs = 1.0
  config.train.augment = 'none'
  return config


def tiny() -> ConfigDict:
  """A look at every part; the numbers mean nothing."""
  config = base()
  config.generations = 1
  config.data.clip_length = 3
  config.data.train_clips = ConfigDict(
    {'au': 24, 'expr': 24, 'va': 24, 'shared': 6}
  )
  config.data.val_clips = 12
  config.data.test_clips = 16
  config.data.ood_clips = 10
  config.model.width = 0.125
  config.model.hidden = 16
  config.ensemble.size = 2
  config.train.epochs = 2
  config.train.clips_per_task = 3
  config.eval.mc_samples = 3
  config.runtime.predict_clips = 4
  # A program for several devices takes longer to compile.
  config.runtime.cpu_devices = 1
  return config


def paper_v() -> ConfigDict:
  """EMENet-V on Aff-Wild2 with the paper's hyper-parameters."""
  config = base()
  config.generations = 4
  config.data.name = 'prepared'
  config.data.image_size = 112
  config.data.clip_length = 16
  config.data.eval_clip_length = 64
  config.model.width = 1.0
  config.model.hidden = 128
  config.model.dropout = 0.5
  config.ensemble.size = 5
  config.train.epochs = 10
  config.train.clips_per_task = 5
  config.train.learning_rate = 1e-3
  config.train.decay_every = 3
  config.runtime.stream_steps = 20
  config.runtime.predict_clips = 4
  return config


def paper_va() -> ConfigDict:
  """EMENet-VA on Aff-Wild2 with the paper's hyper-parameters."""
  config = paper_v()
  config.generations = 3
  config.data.audio = True
  config.data.clip_length = 8
  config.model.name = 'emenet_va'
  config.train.epochs = 15
  config.train.clips_per_task = 8
  config.train.decay_every = 4
  return config


PRESETS = {f.__name__: f for f in (embedded, tiny, paper_v, paper_va)}


def get_config(preset: str = 'embedded') -> ConfigDict:
  """Returns the configuration of a preset."""
  return common.choose(PRESETS, 'gen', preset)
