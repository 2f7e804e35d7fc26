"""Where in the stream of tasks an epoch begins: at the model's meta-step."""

import keras
import tensorflow as tf


def following(tasks, model: keras.Model, callbacks):
    """Return tasks that begin where the model stands in every epoch.

    Args:
      tasks: as `tf_metagan.tasks` returns them.
      model: counts its meta-steps in `meta_step`.
      callbacks: of `fit`, in any form that Keras takes.

    Returns:
      (dataset, callbacks), both for the same `fit`.
    """
    position = _Position()
    position.set_model(model)
    dataset: tf.data.Dataset = tasks.beginning_at(lambda: position.meta_step)
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.callbacks.append(position)
        return dataset, callbacks
    if isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks]
    return dataset, [*(callbacks or ()), position]


class _Position(keras.callbacks.Callback):
    """Notes the meta-step that an epoch begins with.

    Read later, when the first tasks are asked for, it may be one too many: the
    step that waits for them has counted itself already.
    """

    def __init__(self):
        super().__init__()
        self.meta_step = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.meta_step = int(self.model.meta_step.numpy())
