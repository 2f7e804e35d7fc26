"""Several requests as one: every input and output has the task axis in front.

This is the form that a batching server may merge, and that a row-wise JSON
request has. A row that is wrong must not fail the rows of others: it gets a
sentence in `error` and zeros, and costs nothing.
"""

from collections.abc import Callable

import tensorflow as tf

from tf_metagan.exporting import sentences
from tf_metagan.exporting.engine import Engine
from tf_metagan.exporting.terms import Terms


def function(engine: Engine, terms: Terms) -> Callable:
    """Return the tf.function of the signature.

    Its inputs are images f32 [T, K, H, W, C]; num_images, num_samples, steps
    i32 [T]; seed i64 [T, 2]. Rows that have fewer images than others are
    filled up with anything: num_images tells how many count, 0 all of them.
    Each row draws as many images as the row that asks for most.
    """
    shape, limits = terms.image_shape, terms.limits.of_row()

    def check(row) -> tf.Tensor:
        images, _, num_samples, steps, seed = row
        return sentences.first(
            _count_sentence(row),
            sentences.frame(images, shape, "K", "images"),
            sentences.images(_counted(row), shape, limits),
            sentences.work(
                steps,
                tf.minimum(_number(row), terms.batch_size),
                limits,
            ),
            sentences.between(num_samples, 1, limits.samples, "num_samples"),
            sentences.seed(seed),
        )

    def answer(row, most):
        _, _, _, steps, seed = row
        adapted = engine.adapt_to(_counted(row), steps, seed)
        samples = engine.draw(adapted.vars, most, seed)
        d_loss, g_loss = adapted.d_loss, adapted.g_loss
        error = sentences.diverged(samples, d_loss, g_loss)
        fine = tf.equal(error, "")
        kept = [
            tf.where(fine, x, tf.zeros_like(x))
            for x in (samples, d_loss, g_loss)
        ]
        return (*kept, error)

    def refuse(error, most):
        blank = tf.zeros([most, *shape])
        return blank, tf.zeros([]), tf.zeros([]), error

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, *shape], tf.float32, "images"),
            tf.TensorSpec([None], tf.int32, "num_images"),
            tf.TensorSpec([None], tf.int32, "num_samples"),
            tf.TensorSpec([None], tf.int32, "steps"),
            tf.TensorSpec([None, 2], tf.int64, "seed"),
        ],
        autograph=False,
    )
    def adapt_and_sample_batch(images, num_images, num_samples, steps, seed):
        rows = _aligned(
            (images, num_images, num_samples, steps, seed),
            most=terms.limits.tasks,
        )
        places = tf.range(tf.shape(rows[1])[0])

        # Rows are taken one by one: what `map_fn` divides itself must have the
        # shape of the signature, before any check can say so.
        def row_at(place):
            return tuple(tf.gather(value, place) for value in rows)

        errors = tf.map_fn(
            lambda place: check(row_at(place)),
            places,
            fn_output_signature=tf.TensorSpec([], tf.string),
            parallel_iterations=1,
        )
        wanted = tf.where(tf.equal(errors, ""), rows[2], 0)
        most = tf.reduce_max(wanted)

        def one(item):
            error, place = item
            return tf.cond(
                tf.equal(error, ""),
                lambda: answer(row_at(place), most),
                lambda: refuse(error, most),
            )

        samples, d_loss, g_loss, errors = tf.map_fn(
            one,
            (errors, places),
            fn_output_signature=(
                tf.TensorSpec([None, *shape]),
                tf.TensorSpec([]),
                tf.TensorSpec([]),
                tf.TensorSpec([], tf.string),
            ),
            parallel_iterations=1,
        )
        return {
            "samples": samples,
            "d_loss": d_loss,
            "g_loss": g_loss,
            "error": errors,
        }

    return adapt_and_sample_batch


def _number(row) -> tf.Tensor:
    """Return how many images of a row count."""
    images, num_images, *_ = row
    return tf.where(tf.equal(num_images, 0), tf.shape(images)[0], num_images)


def _counted(row) -> tf.Tensor:
    """Return the images of a row that count."""
    return row[0][: tf.maximum(_number(row), 0)]


def _count_sentence(row) -> tf.Tensor:
    images, num_images, *_ = row
    sent = tf.shape(images)[0]
    return sentences.unless(
        (num_images >= 0) & (num_images <= sent),
        "num_images is ",
        num_images,
        "; expected 0 (all) to the ",
        sent,
        " that came",
    )


def _aligned(inputs, *, most: int) -> tuple[tf.Tensor, ...]:
    """Check of a whole batch what whoever merges rows can be relied on for."""
    images, *others = inputs
    number = tf.size(others[0])
    tasks = tf.strings.as_string(number)
    axes = tf.strings.join([tasks, r", \d+, \d+, \d+, \d+"])
    found = sentences.shape_text(images)
    sentence = sentences.first(
        sentences.count(number, most, "tasks"),
        sentences.unless(
            tf.strings.regex_full_match(found, axes),
            "images has the shape [",
            found,
            "]; expected [T, K, H, W, C] with the T = ",
            number,
            " of num_images",
        ),
        *(
            sentences.unless(
                tf.equal(tf.size(value), number * width),
                f"{name} has the shape [",
                sentences.shape_text(value),
                "]; expected one row for each of the ",
                number,
                " tasks",
            )
            for name, value, width in zip(
                ("num_samples", "steps", "seed"),
                others[1:],
                (1, 1, 2),
                strict=True,
            )
        ),
    )
    return tuple(sentences.gate(sentence, *inputs))
