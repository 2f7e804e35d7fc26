"""All settings of training, each of them once.

The flag, the line in `--help`, the entry of config.json and the keyword-only
parameter of the part that uses a setting all follow from its field here; see
fields.py and settings.py for how.
"""

import dataclasses
import os

from tf_metagan import registry
from tf_metagan.fields import check_all, setting

RUN = "Run"
DATA = "Data"
GAN = "Networks and losses"
INNER = "Inner loop (adaptation to one task)"
OUTER = "Outer loop (meta-learning)"
META = "Gradient of the outer loop"
PICTURES = "Pictures and test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of training with its default, unit, range and meaning."""

    algo: str = setting(
        "fomaml",
        "Meta-learning rule. A rule may bring its own values for settings that "
        "are not given; --dry_run shows them.",
        section=RUN,
        choices=registry.ALGORITHMS,
    )
    logdir: str | None = setting(
        None,
        "Folder of the run: settings, metrics, checkpoints and pictures. None: "
        "the next free runs/DATASET_ALGO_NUMBER.",
        section=RUN,
        alias="workdir",
        path=True,
    )
    seed: int = setting(
        0,
        "Root of all random numbers: initial weights, episodes, latents.",
        section=RUN,
        interval="[0, 2147483647]",
    )
    meta_steps: int = setting(
        20000,
        "Length of training, counted from the first start of the run.",
        section=RUN,
        unit="meta-steps",
        interval="[0, inf)",
    )
    init_from: str | None = setting(
        None,
        "Folder of a trained run, or pretrained:NAME, whose weights this one "
        "begins with; its algorithm may be another.",
        section=RUN,
        path=True,
    )
    resume: bool = setting(
        True,
        "Go on from the last checkpoint in logdir. Without it, a logdir that "
        "has one is refused.",
        section=RUN,
    )
    log_every: int = setting(
        20,
        "Interval between two lines of metrics; also between two checks that "
        "every metric is finite.",
        section=RUN,
        unit="meta-steps",
        interval="[1, inf)",
    )
    checkpoint_every: int = setting(
        500,
        "Interval between two checkpoints.",
        section=RUN,
        unit="meta-steps",
        interval="[1, inf)",
    )
    image_every: int = setting(
        500,
        "Interval between two pictures of adapted samples.",
        section=RUN,
        unit="meta-steps",
        interval="[1, inf)",
    )
    keep_checkpoints: int = setting(
        3,
        "Number of latest checkpoints that are kept.",
        section=RUN,
        interval="[1, inf)",
    )
    average_checkpoints: int = setting(
        1,
        "Evaluation, sampling and export use the mean of the weights of so "
        "many latest checkpoints; keep as many (--keep_checkpoints).",
        section=RUN,
        interval="[1, inf)",
    )
    max_seconds: float | None = setting(
        None,
        "Save and stop when this much time has passed since the start.",
        section=RUN,
        unit="seconds",
        interval="(0, inf)",
    )
    deterministic: bool = setting(
        False,
        "Use only operations that give the same bits at every run; slower on "
        "a GPU.",
        section=RUN,
    )
    precision: str = setting(
        "float32",
        "Number format of the networks; weights and meta-gradients stay "
        "float32.",
        section=RUN,
        choices=("float32", "mixed_bfloat16"),
    )
    strategy: str = setting(
        "auto",
        "Devices: the first one, all GPUs of this machine (mirrored), all of "
        "several machines (multiworker, which TF_CONFIG describes), or auto = "
        "mirrored when there is more than one GPU.",
        section=RUN,
        choices=("auto", "one", "mirrored", "multiworker"),
    )
    inter_op_threads: int | None = setting(
        None,
        "Operations that may run at the same time on the CPU. None: "
        "TensorFlow decides.",
        section=RUN,
        unit="threads",
        interval="[1, inf)",
    )
    intra_op_threads: int | None = setting(
        None,
        "Threads inside one operation on the CPU. None: TensorFlow decides.",
        section=RUN,
        unit="threads",
        interval="[1, inf)",
    )
    dry_run: bool = setting(
        False,
        "Build everything, print settings and parameter counts, and exit.",
        section=RUN,
    )

    dataset: str = setting(
        "glyphs",
        "Images and their classes; a task is one class. glyphs and landscapes "
        "are drawn on the fly and need no file; folder is your own images, in "
        "photographs each of them is a class.",
        section=DATA,
        choices=registry.DATASETS,
    )
    data_dir: str | None = setting(
        None,
        "Folder of TensorFlow Datasets. None: the environment variable "
        "TFDS_DATA_DIR, else ~/tensorflow_datasets.",
        section=DATA,
        chosen_by="dataset",
        environment="TFDS_DATA_DIR",
        path=True,
    )
    image_folder: str | None = setting(
        None,
        "Folder of PNG or JPEG files: one subfolder per class for folder, the "
        "files themselves for photographs.",
        section=DATA,
        chosen_by="dataset",
        path=True,
    )
    image: str | None = setting(
        None,
        "One PNG or JPEG file in place of a folder for photographs, as singan "
        "takes it.",
        section=DATA,
        chosen_by="dataset",
        path=True,
    )
    image_size: int = setting(
        32,
        "Height and width to which images are brought.",
        section=DATA,
        unit="pixels",
        interval="[4, 1024]",
    )
    channels: int | None = setting(
        None,
        "1 for grey images, 3 for colour. None: as the images are.",
        section=DATA,
        choices=(1, 3),
    )
    num_classes: int = setting(
        1000,
        "Number of classes that glyphs draws, or of landscapes.",
        section=DATA,
        interval="[2, inf)",
        chosen_by="dataset",
    )
    images_per_class: int = setting(
        20,
        "Number of images of each class that glyphs draws.",
        section=DATA,
        unit="images",
        interval="[1, inf)",
        chosen_by="dataset",
    )
    train_classes: tuple[int, ...] | None = setting(
        None,
        "Class ids to train on. None: all that are not for the test.",
        section=DATA,
        interval="[0, inf)",
    )
    test_classes: tuple[int, ...] | None = setting(
        None,
        "Class ids to test on, never seen in training. None: the data set's "
        "usual ones, or drawn by seed.",
        section=DATA,
        interval="[0, inf)",
    )
    num_test_classes: int | None = setting(
        None,
        "Number of classes to test on when they are drawn by seed. None: one "
        "in five.",
        section=DATA,
        interval="[1, inf)",
    )
    exclude_classes: tuple[int, ...] | None = setting(
        None,
        "Class ids to train without and to test on; all others are trained "
        "on. Short for test_classes, and at least two classes must remain.",
        section=DATA,
        interval="[0, inf)",
    )
    shots: int = setting(
        0,
        "Images of the class that adaptation may see; the outer loss is taken "
        "on others. 0: a new batch of the whole class at every inner step.",
        section=DATA,
        unit="images",
        interval="[0, inf)",
    )
    rotate_classes: bool = setting(
        False,
        "Count each class turned by 90, 180 and 270 degrees as a class of its "
        "own.",
        section=DATA,
    )
    mirror_classes: bool = setting(
        False,
        "Count each class with left and right exchanged as a class of its own.",
        section=DATA,
    )
    elastic: float = setting(
        0.0,
        "Strength of a smooth random distortion of every image; 0 is off.",
        section=DATA,
        unit="pixels",
        interval="[0, inf)",
    )
    elastic_classes: float = setting(
        0.0,
        "Strength of a smooth random distortion that all images of a task "
        "share, as if they were of another class; 0 is off.",
        section=DATA,
        unit="pixels",
        interval="[0, inf)",
    )

    architecture: str = setting(
        "dcgan",
        "Family of the networks.",
        section=GAN,
        choices=registry.ARCHITECTURES,
    )
    variant: str = setting(
        "2mlp",
        "What makes the generator's latents: one or two MLPs; noise beside an "
        "MLP of the domain; noise moved and stretched by it; or noise alone.",
        section=GAN,
        choices=("1mlp", "2mlp", "concat", "mlp_mean_std", "noise"),
        chosen_by="architecture",
    )
    normalisation: str = setting(
        "batch",
        "Norms of both networks: batch norm; instance norm in the "
        "discriminator; or none, with SELU for every activation.",
        section=GAN,
        choices=("batch", "instance", "selu"),
        chosen_by="architecture",
    )
    num_labels: int = setting(
        10,
        "Class ids below it are labels of their own; all other classes share "
        "the mean of all labels.",
        section=GAN,
        unit="classes",
        interval="[1, inf)",
        chosen_by="architecture",
    )
    width: int = setting(
        64,
        "Channels of the layers nearest to the image; deeper ones have a "
        "multiple.",
        section=GAN,
        unit="channels",
        interval="[1, inf)",
        chosen_by="architecture",
    )
    latent_size: int = setting(
        100,
        "Numbers that the generator starts from, drawn from N(0, 1).",
        section=GAN,
        interval="[1, inf)",
    )
    embedding: str = setting(
        "resnet34",
        "Network that a photograph is embedded by: resnet34 and resnet18 with "
        "batch norm, small with group norm.",
        section=GAN,
        choices=("resnet34", "resnet18", "small"),
        chosen_by="architecture",
    )
    embedding_weights: str | None = setting(
        None,
        "File with the weights of torchvision's resnet18 or resnet34, saved by "
        "numpy.savez, that the embedding of a photograph begins with. None: "
        "drawn ones.",
        section=GAN,
        path=True,
    )
    embedding_size: int = setting(
        128,
        "Height and width to which photographs are brought to be embedded.",
        section=GAN,
        unit="pixels",
        interval="[32, 1024]",
        chosen_by="architecture",
    )
    features: int = setting(
        512,
        "Numbers in the embedding of a photograph.",
        section=GAN,
        interval="[1, inf)",
        chosen_by="architecture",
    )
    smallest_size: int = setting(
        25,
        "Width of the coarsest scale of a pyramid.",
        section=GAN,
        unit="pixels",
        interval="[11, inf)",
    )
    scale_factor: float = setting(
        0.6,
        "Ratio of neighbouring scales of a pyramid that sets their number; the "
        "ratio itself is a little nearer to one.",
        section=GAN,
        interval="(0, 1)",
        chosen_by="game",
    )
    pyramid_sizes: str = setting(
        "exact",
        "Rounding of the sizes of a pyramid; as_published, the coarsest may be "
        "a pixel too wide.",
        section=GAN,
        choices=("exact", "as_published"),
        chosen_by="game",
    )
    stages: int = setting(
        6,
        "Stages of a growing generator.",
        section=GAN,
        interval="[3, 20]",
        chosen_by="game",
    )
    trained_stages: int = setting(
        3,
        "Newest stages of a growing generator that learn together.",
        section=GAN,
        unit="stages",
        interval="[1, inf)",
        chosen_by="game",
    )
    stage_rate: float = setting(
        0.1,
        "Step size of a stage of a growing generator in that of the next one.",
        section=GAN,
        interval="(0, 1]",
        chosen_by="game",
    )
    hypernetworks: str = setting(
        "paired",
        "Who makes the weights of a photograph's GAN. paired: D and G have an "
        "embedding each; shared_embedding: one that learns from both losses; "
        "shared_d: one ordinary D judges all photographs.",
        section=GAN,
        choices=("paired", "shared_embedding", "shared_d"),
        chosen_by="game",
    )
    head_rank: int | None = setting(
        None,
        "Rank of the matrices that make weights of an embedding. None: full.",
        section=GAN,
        interval="[1, inf)",
        chosen_by="game",
    )
    head_hidden: int = setting(
        0,
        "Hidden layers between an embedding and each weight tensor.",
        section=GAN,
        unit="layers",
        interval="[0, inf)",
        chosen_by="game",
    )
    reconstruction_weight: float = setting(
        50.0,
        "Weight of the squared error of the reconstruction in G's loss.",
        section=GAN,
        interval="[0, inf)",
        chosen_by="game",
    )
    noise_amplitude: str = setting(
        "moving_average",
        "Amplitude of the noise at scales above the coarsest: the root mean "
        "square error of reconstructions, as a moving average or of the last "
        "batch; a tenth of it as the scale begins; or 1.",
        section=GAN,
        choices=(
            "moving_average",
            "last_batch_as_published",
            "at_start",
            "constant",
        ),
        chosen_by="game",
    )
    convolution: str = setting(
        "auto",
        "Form of convolutions whose weights differ from sample to sample. "
        "auto: grouped where there is a GPU, else loop.",
        section=GAN,
        choices=("auto", "loop", "grouped", "patches"),
        chosen_by="game",
    )
    game: str = setting(
        "two_player",
        "What the players see: two_player is plain GAN; in exemplar both are "
        "given an image of the task, in labelled the class; in latent networks "
        "of the task make the latents; in pyramid a photograph makes a GAN of "
        "its own, in singan and growing it is the only one. An architecture "
        "that is made for one brings it.",
        section=GAN,
        choices=registry.GAMES,
    )
    wrong_share: float = setting(
        0.5,
        "Of what the discriminator is to refuse, the part that is real images "
        "of other classes.",
        section=GAN,
        interval="[0, 1)",
        chosen_by="game",
    )
    domain_loss: str | None = setting(
        None,
        "Loss of the head that tells the task from other classes, without "
        "penalty. None: as loss, with its penalty.",
        section=GAN,
        choices=registry.LOSSES,
        chosen_by="game",
    )
    domain_weight: float = setting(
        1.0,
        "Weight in the generator's loss of the head that tells the task from "
        "other classes.",
        section=GAN,
        interval="[0, inf)",
        chosen_by="game",
    )
    kept_images: int = setting(
        128,
        "Images of meta-train classes that the run keeps, and an export of it "
        "too, as what the task is told from in adaptation. 0: none, and "
        "adaptation does without.",
        section=GAN,
        unit="images",
        interval="[0, inf)",
        chosen_by="game",
    )
    as_published: bool = setting(
        False,
        "Cut the condition network off from its loss, as the published "
        "programs do by mistake.",
        section=GAN,
        chosen_by="game",
    )
    candidates: int = setting(
        1,
        "Images to draw for each one that is sampled; the discriminator keeps "
        "the best.",
        section=GAN,
        unit="images",
        interval="[1, 64]",
        chosen_by="game",
    )
    loss: str = setting(
        "wasserstein",
        "Losses of discriminator and generator.",
        section=GAN,
        choices=registry.LOSSES,
    )
    penalty: str = setting(
        "gradient",
        "Penalty on the discriminator: gradient is WGAN-GP's, between real and "
        "fake images; r1 is on real images.",
        section=GAN,
        choices=registry.PENALTIES,
    )
    penalty_weight: float = setting(
        10.0,
        "Factor of the penalty in the discriminator's loss.",
        section=GAN,
        interval="[0, inf)",
        chosen_by="penalty",
    )
    penalty_norm: str = setting(
        "sample",
        "Axes of the gradient's norm: the whole image (the definition), each "
        "pixel, or each channel.",
        section=GAN,
        choices=("sample", "pixel", "channel"),
        chosen_by="penalty",
    )

    inner_steps: int = setting(
        10,
        "Steps of adaptation in training.",
        section=INNER,
        unit="steps",
        interval="[0, inf)",
        chosen_by="algo",
    )
    inner_batch_size: int = setting(
        16,
        "Images of the task in each inner step, real and generated.",
        section=INNER,
        unit="images",
        interval="[1, inf)",
    )
    inner_optimizer: str = setting(
        "rmsprop",
        "Rule by which both players move.",
        section=INNER,
        choices=registry.INNER_OPTIMIZERS,
        chosen_by="algo",
    )
    inner_rate: float = setting(
        1e-4,
        "Step size; the initial one when it is learned.",
        section=INNER,
        interval="(0, inf)",
        chosen_by="algo",
    )
    inner_rho: float = setting(
        0.9,
        "Decay of the squared gradients of rmsprop, per step.",
        section=INNER,
        interval="[0, 1)",
        chosen_by="inner_optimizer",
    )
    inner_momentum: float = setting(
        0.9,
        "Decay of the velocity of momentum, per step.",
        section=INNER,
        interval="[0, 1)",
        chosen_by="inner_optimizer",
    )
    inner_beta1: float = setting(
        0.5,
        "Decay of the gradients of adam, per step.",
        section=INNER,
        interval="[0, 1)",
        chosen_by="inner_optimizer",
    )
    inner_beta2: float = setting(
        0.999,
        "Decay of the squared gradients of adam, per step.",
        section=INNER,
        interval="[0, 1)",
        chosen_by="inner_optimizer",
    )
    inner_epsilon: float = setting(
        1e-7,
        "Constant that keeps the division by the root of the squared "
        "gradients finite.",
        section=INNER,
        interval="(0, inf)",
        chosen_by="inner_optimizer",
    )
    epsilon_placement: str = setting(
        "inside",
        "inside: g / sqrt(v + epsilon), as Keras RMSprop; outside: "
        "g / (sqrt(v) + epsilon), as PyTorch.",
        section=INNER,
        choices=("inside", "outside"),
        chosen_by="inner_optimizer",
    )
    inner_statistics: str = setting(
        "reset",
        "Squared gradients and velocities at the start of a task: zero, those "
        "of the tasks before, or learned.",
        section=INNER,
        choices=("reset", "carried", "learned"),
        chosen_by="algo",
    )
    statistics_gradient: str = setting(
        "full",
        "Whether the outer gradient flows through the squared gradients and "
        "velocities or stops there.",
        section=INNER,
        choices=("full", "stop"),
        chosen_by="inner_optimizer",
    )
    learned_rates: str = setting(
        "none",
        "Which inner step sizes the outer loop learns: none, one per layer and "
        "step, or one per weight.",
        section=INNER,
        choices=("none", "layer_step", "weight"),
        chosen_by="algo",
    )
    update_order: str = setting(
        "simultaneous",
        "Whether the generator's step sees the discriminator before or after "
        "its step.",
        section=INNER,
        choices=("simultaneous", "sequential"),
    )
    n_critic: int = setting(
        1,
        "Discriminator steps in each inner step.",
        section=INNER,
        unit="steps",
        interval="[1, inf)",
    )
    n_generator: int = setting(
        1,
        "Steps of the others, such as the generator, in each inner step.",
        section=INNER,
        unit="steps",
        interval="[1, inf)",
    )
    adapt: tuple[str, ...] = setting(
        ("*",),
        "Patterns of player/layer/weight, such as g/* or d/head/*: the weights "
        "that move in the inner loop.",
        section=INNER,
    )
    final_step: bool = setting(
        False,
        "End adaptation with one step of the players that the inner loop does "
        "not move, such as the generator of latent.",
        section=INNER,
        chosen_by="algo",
    )

    meta_learn: tuple[str, ...] = setting(
        ("*",),
        "Patterns of player/layer/weight: the weights that the outer loop "
        "learns.",
        section=OUTER,
    )
    meta_batch: int = setting(
        4,
        "Tasks in each meta-step, over all devices.",
        section=OUTER,
        unit="tasks",
        interval="[1, inf)",
    )
    parallel_tasks: int | None = setting(
        None,
        "Tasks that a device works on at the same time; more need more memory. "
        "None: two with --task_mapping=loop, all with vectorized.",
        section=OUTER,
        unit="tasks",
        interval="[1, inf)",
    )
    task_mapping: str = setting(
        "loop",
        "How a device works on its tasks: in a loop over them; or vectorized, "
        "with one more axis in every tensor: fewer and larger operations, for "
        "GPUs, slower on CPUs, the same results up to rounding.",
        section=OUTER,
        choices=("loop", "vectorized"),
        chosen_by="algo",
    )
    outer_optimizer: str = setting(
        "rmsprop",
        "Keras optimizer of the meta-weights, one per player.",
        section=OUTER,
        choices=registry.OUTER_OPTIMIZERS,
    )
    outer_rate: float = setting(
        1e-4,
        "Step size at the start, after the warm-up.",
        section=OUTER,
        interval="(0, inf)",
    )
    outer_schedule: str = setting(
        "constant",
        "Step size over meta_steps, or over each phase of them: constant, down "
        "to 0 by a line or by a cosine, or drop to a tenth in the last fifth.",
        section=OUTER,
        choices=("constant", "linear", "cosine", "drop"),
    )
    outer_decay_steps: int | None = setting(
        None,
        "Meta-steps at the end in which the step size goes down; before, it is "
        "constant. None: all.",
        section=OUTER,
        unit="meta-steps",
        interval="[1, inf)",
    )
    outer_warmup: int = setting(
        0,
        "Meta-steps in which the step size rises from 0.",
        section=OUTER,
        unit="meta-steps",
        interval="[0, inf)",
    )
    outer_rho: float = setting(
        0.9,
        "Decay of the squared gradients of rmsprop, per meta-step.",
        section=OUTER,
        interval="[0, 1)",
        chosen_by="outer_optimizer",
    )
    outer_momentum: float = setting(
        0.0,
        "Decay of the velocity of sgd and rmsprop, per meta-step.",
        section=OUTER,
        interval="[0, 1)",
        chosen_by="outer_optimizer",
    )
    outer_beta1: float = setting(
        0.5,
        "Decay of the gradients of adam and its kin, per meta-step.",
        section=OUTER,
        interval="[0, 1)",
        chosen_by="outer_optimizer",
    )
    outer_beta2: float = setting(
        0.999,
        "Decay of the squared gradients of adam and its kin, per meta-step.",
        section=OUTER,
        interval="[0, 1)",
        chosen_by="outer_optimizer",
    )
    outer_epsilon: float = setting(
        1e-7,
        "Constant that keeps the outer optimizer's division finite.",
        section=OUTER,
        interval="(0, inf)",
        chosen_by="outer_optimizer",
    )
    outer_clip_norm: float | None = setting(
        None,
        "Greatest norm of each player's meta-gradient. None: not clipped.",
        section=OUTER,
        interval="(0, inf)",
    )
    outer_clip_value: float | None = setting(
        None,
        "Greatest magnitude of each number in a meta-gradient. None: not "
        "clipped.",
        section=OUTER,
        interval="(0, inf)",
    )
    classical_rate: float | None = setting(
        None,
        "Step size of Adam, with inner_beta1, inner_beta2 and inner_epsilon, "
        "for the players that learn by ordinary steps: those that the inner "
        "loop of latent does not move. None: inner_rate.",
        section=OUTER,
        interval="(0, inf)",
        chosen_by="algo",
    )
    ema: float = setting(
        0.0,
        "Decay per meta-step of a moving average of the meta-weights, used in "
        "test and export; 0 is off.",
        section=OUTER,
        interval="[0, 1)",
    )
    rates_outer_rate: float | None = setting(
        None,
        "Outer step size of learned inner step sizes. None: outer_rate.",
        section=OUTER,
        interval="(0, inf)",
        chosen_by="learned_rates",
    )

    step_weights: str = setting(
        "uniform",
        "Weights of the outer losses after each inner step: all alike, only "
        "the last, or from all alike to only the last.",
        section=META,
        choices=("uniform", "final", "annealed"),
        chosen_by="algo",
    )
    annealing_steps: int | None = setting(
        None,
        "Duration of annealed step weights. None: the whole training.",
        section=META,
        unit="meta-steps",
        interval="[1, inf)",
        chosen_by="step_weights",
    )
    cross_player: str = setting(
        "full",
        "Whether a player's outer gradient flows through the other player's "
        "inner steps or stops there.",
        section=META,
        choices=("full", "stop"),
        chosen_by="algo",
    )
    first_order_steps: int = setting(
        0,
        "Use first-order gradients up to this meta-step.",
        section=META,
        unit="meta-steps",
        interval="[0, inf)",
        chosen_by="algo",
    )
    inner_loop: str = setting(
        "while",
        "Form of the inner loop in the graph: while starts fast and needs "
        "little memory; unrolled is a little faster for few steps.",
        section=META,
        choices=("while", "unrolled"),
        chosen_by="algo",
    )

    panel_tasks: int = setting(
        8,
        "Unseen tasks shown in each picture.",
        section=PICTURES,
        unit="tasks",
        interval="[1, inf)",
    )
    adapt_steps: int | None = setting(
        None,
        "Steps of adaptation in pictures and test. None: inner_steps.",
        section=PICTURES,
        unit="steps",
        interval="[0, inf)",
    )
    adapt_batch_size: int | None = setting(
        None,
        "Images in each step of adaptation after training. None: "
        "inner_batch_size.",
        section=PICTURES,
        unit="images",
        interval="[1, inf)",
    )

    @property
    def adaptation_batch(self) -> int:
        """Images in each step of adaptation after training."""
        return self.adapt_batch_size or self.inner_batch_size

    def __post_init__(self) -> None:
        check_all(self)


def new_logdir(*, dataset: str, algo: str, root: str = "runs") -> str:
    """Make the next free folder root/DATASET_ALGO_NUMBER.

    Args:
      dataset: name of the data set; characters that do not belong in the name
        of a folder become "_".
      algo: name of the algorithm.
      root: folder of all runs.

    Returns:
      The folder, which now exists and is empty.
    """
    name = "".join(c if c.isalnum() else "_" for c in f"{dataset}_{algo}")
    os.makedirs(root, exist_ok=True)
    number = 1
    while True:
        folder = os.path.join(root, f"{name}_{number:03d}")
        try:
            os.mkdir(folder)
        except FileExistsError:
            number += 1
        else:
            return folder
