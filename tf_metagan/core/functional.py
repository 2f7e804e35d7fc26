"""Keras models as pure functions of explicit weights."""

import re
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.types import Params


class Network(NamedTuple):
    """A model without weights of its own.

    Attributes:
      apply: (params, state, inputs, seed) -> (outputs, new state). `seed`,
        int64 [2], feeds the model's own randomness (dropout); all else is
        determined by the arguments. Batch statistics are those of the batch,
        or with `training=False` those of the state.
      init: (seed: int) -> (params, state), freshly drawn.
      variables: () -> (params, state), the Keras variables behind the leaves.
    """

    apply: Callable
    init: Callable
    variables: Callable


def from_keras(model: keras.Model) -> Network:
    """Turn a built Keras model with named layers into a `Network`.

    Leaves are called "<layer>/<variable>", with the names of enclosing models
    or layers in front ("block1/conv/kernel").

    Args:
      model: built; every layer that owns a variable has a name of its own.

    Returns:
      A Network. A variable is redrawn by `init` with the initializer its layer
      names "<variable>_initializer"; one without keeps the value it was built
      with.

    Raises:
      ValueError: the model is not built, or a layer's name was numbered by
        Keras, which gives the same layer another name at its next build, or
        two weights have one name.
    """
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built, so it has no weights yet. "
            "Give it an Input, or call it once on a batch."
        )
    leaves = _leaf_names(model)
    trainable = [leaves[v.path, id(v)] for v in model.trainable_variables]
    fixed = model.non_trainable_variables
    draws = [_is_seed_state(v) for v in fixed]
    state_of = [leaves[v.path, id(v)] for v in fixed]

    def apply(params: Params, state: Params, inputs, seed, *, training=True):
        values = [
            tf.cast(rng.fold(seed, index), variable.dtype)
            if drawn
            else state[leaf]
            for index, (variable, leaf, drawn) in enumerate(
                zip(fixed, state_of, draws, strict=True)
            )
        ]
        outputs, after = model.stateless_call(
            [params[leaf] for leaf in trainable],
            values,
            inputs,
            training=training,
        )
        return outputs, {
            leaf: value
            for leaf, value, drawn in zip(state_of, after, draws, strict=True)
            if not drawn
        }

    def variables() -> tuple[Params, Params]:
        return (
            dict(zip(trainable, model.trainable_variables, strict=True)),
            {
                leaf: variable
                for leaf, variable, drawn in zip(
                    state_of, fixed, draws, strict=True
                )
                if not drawn
            },
        )

    initializers = _initializers(model)

    def init(seed: int) -> tuple[Params, Params]:
        def draw(leaf, variable):
            initializer = initializers.get(id(variable))
            if initializer is None:
                return tf.identity(variable.value)
            return _draw(initializer, variable, leaf, seed)

        return tuple(
            {leaf: draw(leaf, variable) for leaf, variable in group.items()}
            for group in variables()
        )

    return Network(apply, init, variables)


def _is_seed_state(variable: keras.Variable) -> bool:
    return variable.path.endswith("seed_generator_state")


def _leaf_names(model: keras.Model) -> dict[tuple[str, int], str]:
    """Map each variable to its leaf; refuse numbered and repeated names."""
    found: dict[tuple[str, int], str] = {}
    for layer in model._flatten_layers(include_self=False):
        if layer.variables:
            _refuse_numbered(layer, model)

    def visit(layer, prefix):
        for child in layer.layers:
            path = f"{prefix}{child.name}"
            if isinstance(child, keras.Model):
                visit(child, path + "/")
                continue
            for variable in child.variables:
                inside = _path_inside(child, variable)
                found[variable.path, id(variable)] = f"{path}/{inside}"

    visit(model, "")
    missing = [v.path for v in model.variables if (v.path, id(v)) not in found]
    names = list(found.values())
    repeated = sorted({n for n in names if names.count(n) > 1})
    if missing or repeated:
        raise ValueError(
            f"model {model.name!r}: weights {missing + repeated} cannot be "
            "told apart by layer name. Build it from named layers, each used "
            "under one name, with no weights outside a layer."
        )
    return found


def _path_inside(layer: keras.Layer, variable: keras.Variable) -> str:
    """Return a variable's path from its layer on, without the layer's name."""
    *scopes, name = variable.path.split("/")
    if layer.name not in scopes:
        return name
    last = len(scopes) - scopes[::-1].index(layer.name)
    return "/".join([*scopes[last:], name])


def _refuse_numbered(layer: keras.Layer, model: keras.Model) -> None:
    # Keras turns PReLU into "p_re_lu", then "p_re_lu_1".
    automatic = type(layer).__name__.lower().replace("_", "")
    if re.sub(r"_\d+$", "", layer.name).replace("_", "") == automatic:
        raise ValueError(
            f"layer {layer.name!r} of model {model.name!r} has the name Keras "
            "numbered it with, which changes from build to build; weights are "
            f"found by layer name. Write {type(layer).__name__}(..., "
            'name="...") with a name that says what the layer is for.'
        )


def _initializers(model: keras.Model) -> dict[int, keras.Initializer]:
    found = {}
    for layer in model._flatten_layers():
        for variable in layer.variables:
            initializer = getattr(layer, f"{variable.name}_initializer", None)
            if isinstance(initializer, keras.Initializer):
                found[id(variable)] = initializer
    return found


def _draw(initializer, variable, leaf: str, seed: int) -> tf.Tensor:
    config = initializer.get_config()
    if "seed" in config:
        config["seed"] = int(
            np.random.default_rng([seed, *leaf.encode()]).integers(2**31)
        )
    drawn = type(initializer).from_config(config)(
        variable.shape, dtype=variable.dtype
    )
    return tf.convert_to_tensor(drawn)
