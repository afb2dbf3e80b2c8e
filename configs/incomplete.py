"""Learning from incomplete labels (paper 001): teacher, students, balancing.

  python -m emojax.main --config=configs/incomplete.py --workdir=runs/incomplete

trains single-task and multitask CNNs and recurrent networks on the embedded
data set, three seeds at a time, and opens with a report. Presets:

  configs/incomplete.py            all of the paper on the embedded data set
  configs/incomplete.py:table1     single-task CNNs: baseline, imbalanced, balanced
  configs/incomplete.py:figure5    single-task, teacher, mean student, ensemble
  configs/incomplete.py:figure6    recurrent networks, sequences of 32, 16 and 8
  configs/incomplete.py:tiny       a look at every part; the numbers mean nothing
  configs/incomplete.py:paper      the paper's settings, for Aff-Wild2

The last one reads data sets prepared by `python -m emojax.data.prepare`; of the
external ones those that are named:

  python -m emojax.main --config=configs/incomplete.py:paper \
    --config.data.path=AFFWILD2 --config.data.external.au=DISFA \
    --config.data.external.expr=EXPW --config.data.external.va=AFEWVA \
    --config.model.pretrained=resnet50.pth \
    --workdir=runs/incomplete_paper

Every setting below can be overridden as `--config.train.steps=50`.
"""

from ml_collections import ConfigDict


def embedded() -> ConfigDict:
  """All of the paper, small enough for a laptop."""
  config = ConfigDict()
  config.experiment = 'incomplete_labels'
  config.seed = 0
  # Single-task CNNs of Table I; () for none.
  config.conditions = ('baseline', 'imbalanced', 'balanced')
  # What the multitask networks learn from, as in `conditions`; '' for none.
  config.multitask = 'balanced'

  config.ensemble = ConfigDict()
  config.ensemble.size = 5  # students of a teacher
  config.ensemble.seeds = 3  # teachers, each with students of its own

  config.data = ConfigDict()
  config.data.name = 'embedded'  # or 'prepared', with a path
  config.data.seed = 0
  config.data.image_size = 40
  config.data.clip_length = 32  # of videos; the CNN sees single frames
  # The embedded data set: videos of imbalanced single-task subsets, and
  # balanced stills of other people in the place of DISFA, ExpW and AFEW-VA.
  config.data.train_clips = ConfigDict({'au': 60, 'expr': 60, 'va': 60})
  config.data.external_stills = ConfigDict(
    {'balanced_au': 800, 'balanced_expr': 800, 'balanced_va': 800}
  )
  config.data.val_clips = 30
  config.data.test_clips = 60
  # Beside external data, every k-th frame of the main videos for valence and
  # arousal, and of these expressions every k-th is kept.
  config.data.va_every = 1
  config.data.keep = ConfigDict({'neutral': 1, 'happiness': 1, 'sadness': 1})
  config.data.balance = 'paper'  # or 'published': the code's ML-ROS and cells

  # Prepared data only.
  config.data.path = ''
  config.data.external = ConfigDict({'au': '', 'expr': '', 'va': ''})
  config.data.val_split = 'validation'
  config.data.test_split = 'validation'  # Aff-Wild2 keeps its test labels

  config.model = ConfigDict()
  config.model.name = 'multitask_cnn'  # or multitask_cnn_torchvision
  config.model.depth = 'resnet18'  # or 'resnet34', 'resnet50' as in the paper
  config.model.stem = 'half'  # 'imagenet' for large images, 'cifar' for small
  config.model.width = 0.25  # multiplies the channels
  config.model.hidden = 128  # of the heads; the features of a task
  config.model.gru = 64  # of each direction
  config.model.head = 'published'  # 'paper': Figure 4, without BatchNorm
  config.model.dropout = 0.0
  config.model.dtype = 'float32'
  config.model.pretrained = ''  # a PyTorch state_dict of a ResNet-50

  config.train = ConfigDict()  # of the CNNs
  config.train.teacher_epochs = 5
  config.train.student_epochs = 5  # 3 in the paper, from pretrained weights
  config.train.steps = 60  # of an epoch; 0: until the smallest subset ends
  config.train.clips_per_task = 20
  config.train.learning_rate = 3e-3
  config.train.decay_every = 4  # epochs
  config.train.decay_factor = 0.1  # 1 in the code: a constant rate
  config.train.schedule = 'step'  # or 'exponential', 'cosine', 'onecycle'
  config.train.warmup_epochs = 0.0  # in which the rate rises
  config.train.weight_decay = 0.0  # decoupled, of kernels
  config.train.ema = 0.0  # decay of the average of the weights; 0: none
  config.train.select = 'total'  # what chooses the epoch; or 'nll'
  config.train.beta1 = 0.9  # 0.5 in the code
  config.train.patience = 0  # epochs without improvement; 0: no early stopping
  config.train.augment = 'incomplete'
  config.train.augment_per = 'clip'

  config.recurrent = ConfigDict()
  config.recurrent.lengths = (32, 16, 8)
  config.recurrent.teacher_epochs = 8
  config.recurrent.student_epochs = 8
  config.recurrent.steps = 30
  config.recurrent.clips_per_task = 8  # sequences
  config.recurrent.learning_rate = 1e-3
  config.recurrent.decay_every = 4
  config.recurrent.decay_factor = 0.1
  config.recurrent.schedule = 'step'  # or 'exponential', 'cosine', 'onecycle'
  config.recurrent.warmup_epochs = 0.0  # in which the rate rises
  config.recurrent.weight_decay = 0.0  # decoupled, of kernels
  config.recurrent.ema = 0.0  # decay of the average of the weights; 0: none
  config.recurrent.select = 'total'  # what chooses the epoch; or 'nll'
  config.recurrent.patience = 0

  config.loss = ConfigDict()
  config.loss.label_smoothing = 0.0  # of hard labels
  config.loss.temperature = 1.5
  config.loss.supervision_weight = 0.6  # lambda
  config.loss.portion = 'paper'  # of 1 - CCC; 'published': all of it
  config.loss.divergence = 'cross_entropy'  # or 'kl'
  config.loss.distillation_scale = 1.0
  config.loss.bin_values = 'ends'  # linspace(-1, 1, 20); or bin 'centres'

  config.eval = ConfigDict()
  config.eval.floor = (
    0.0  # accuracy of expressions to test claims from; 0: none
  )

  # How, not what: these may differ when a run is resumed.
  config.runtime = ConfigDict()
  config.runtime.epochs_per_call = 1  # 0: a whole stack in one call
  config.runtime.member_chunk = -1  # members vectorised at a time; -1: auto
  config.runtime.predict_clips = 10
  config.runtime.stream_steps = 0  # 0: data resident on the device
  config.runtime.cpu_devices = 0  # 0: as many as share the members evenly
  config.runtime.member_devices = 0
  config.runtime.lowering = 'auto'  # of convolutions: 'lax' or 'matmul'
  return config


def table1() -> ConfigDict:
  """Single-task CNNs: baseline, external data, balancing."""
  config = embedded()
  config.multitask = ''
  return config


def figure5() -> ConfigDict:
  """Single-task CNNs, teacher, mean student, ensemble of students."""
  config = embedded()
  config.conditions = ('balanced',)
  config.recurrent.lengths = ()
  return config


def figure6() -> ConfigDict:
  """Recurrent networks on the features of the best CNN (and Table II)."""
  config = embedded()
  config.conditions = ()
  return config


def tiny() -> ConfigDict:
  """A look at every part; the numbers mean nothing."""
  config = embedded()
  config.ensemble.size = 2
  config.ensemble.seeds = 2
  config.data.image_size = 32
  config.data.clip_length = 8
  config.data.train_clips = ConfigDict({'au': 4, 'expr': 4, 'va': 4})
  config.data.external_stills = ConfigDict(
    {'balanced_au': 24, 'balanced_expr': 24, 'balanced_va': 24}
  )
  config.data.val_clips = 4
  config.data.test_clips = 4
  config.model.width = 0.0625
  config.model.hidden = 16
  config.model.gru = 8
  config.train.teacher_epochs = 2
  config.train.student_epochs = 2
  config.train.steps = 3
  config.train.clips_per_task = 4
  config.recurrent.lengths = (8, 4)
  config.recurrent.teacher_epochs = 2
  config.recurrent.student_epochs = 2
  config.recurrent.steps = 3
  config.recurrent.clips_per_task = 2
  return config


def paper() -> ConfigDict:
  """The paper's settings, for prepared Aff-Wild2 and external data sets.

  Its networks start from pretrained weights: give model.pretrained.
  """
  config = embedded()
  config.ensemble.seeds = 1
  config.data.name = 'prepared'
  config.data.image_size = 112
  config.data.va_every = 5
  config.data.keep = ConfigDict({'neutral': 10, 'happiness': 2, 'sadness': 2})
  config.model.depth = 'resnet50'
  config.model.stem = 'imagenet'
  config.model.width = 1.0
  config.model.head = 'paper'
  config.train.student_epochs = 3
  config.train.teacher_epochs = 8
  config.train.steps = 0
  config.train.learning_rate = 1e-4
  config.train.decay_every = 3
  config.recurrent.student_epochs = 3
  config.recurrent.steps = 0
  config.recurrent.clips_per_task = 20
  config.recurrent.learning_rate = 1e-4
  config.recurrent.decay_every = 3
  config.runtime.stream_steps = 20
  config.runtime.predict_clips = 2
  return config


PRESETS = {
  f.__name__: f for f in (embedded, table1, figure5, figure6, tiny, paper)
}


def get_config(preset: str = 'embedded') -> ConfigDict:
  """Returns the configuration of a preset."""
  if preset not in PRESETS:
    raise ValueError(
      f'configs/incomplete.py has no preset {preset!r}; it has '
      f'{", ".join(PRESETS)}'
    )
  return PRESETS[preset]()
