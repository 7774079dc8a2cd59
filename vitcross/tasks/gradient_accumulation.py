"""Implements gradient accumulation: microbatches one after the other, in the memory of one.

Their gradients are summed and applied once, so that the schedule, the weight average and everything that counts steps
see a single batch (as `grad_accum_steps` of big_vision does). B batch, K microbatches.
"""

import keras


class GradientAccumulation:
    """Mix-in for a task, put before `keras.Model`.

    The gradient equals that of the batch within float error, even where microbatches hold different numbers of valid
    rows or tokens; batch normalization sees microbatches, and dropout draws a new mask for each.

    Attributes:
        accumulate_steps: int, K >= 1; must divide the batch. Set before the task is compiled. Default 1.

    A task has, besides what Keras asks for, `loss_weight(batch)`: scalar float32, what its mean loss is divided by.
    """

    accumulate_steps = 1

    def train_step(self, *arguments):
        if self.accumulate_steps == 1:
            return super().train_step(*arguments)  # of JAX: (state, data)
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"accumulate_steps must be 1 with another backend than TensorFlow. Received: {self.accumulate_steps}, "
                f"{keras.backend.backend()}"
            )
        (data,) = arguments
        batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        loss, gradients = self._summed_gradients(batch)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=keras.ops.shape(batch["valid"])[0])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return self.get_metrics_result()

    def _summed_gradients(self, batch):
        """`(loss, gradients)` of the batch, each the mean over its rows; metrics are updated on the way."""
        import tensorflow as tf

        microbatches = {key: _microbatches(value, self.accumulate_steps, key) for key, value in batch.items()}

        def add_microbatch(number, losses, weights, sums):
            part = {key: value[number] for key, value in microbatches.items()}
            weight = tf.cast(self.loss_weight(part), tf.float32)
            loss, gradients = self._gradients(part)
            sums = [s + weight * tf.convert_to_tensor(g) for s, g in zip(sums, gradients, strict=True)]
            return number + 1, losses + weight * loss, weights + weight, sums

        zeros = [tf.zeros(v.shape, v.dtype) for v in self.trainable_weights]
        _, losses, weights, sums = tf.while_loop(
            lambda number, *_: number < self.accumulate_steps,
            add_microbatch,
            (tf.constant(0), tf.constant(0.0), tf.constant(0.0), zeros),
            parallel_iterations=1,
            maximum_iterations=self.accumulate_steps,
        )
        weights = tf.maximum(weights, 1.0)
        return losses / weights, [gradient / weights for gradient in sums]

    def _gradients(self, part):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = self(part, training=True)
            loss = self.compute_loss(x=part, y_pred=outputs, training=True)
            scaled = self.optimizer.scale_loss(loss)  # mixed_float16
        self.compute_metrics(part, None, outputs)
        zero = tf.UnconnectedGradients.ZERO
        return loss, tape.gradient(scaled, [v.value for v in self.trainable_weights], unconnected_gradients=zero)


def _microbatches(value, count, key):
    """(B, ...) -> (K, B / K, ...)."""
    import tensorflow as tf

    if value.shape[0] is not None and value.shape[0] % count:
        raise ValueError(f"accumulate_steps must divide the batch. Received: {count}, '{key}' of {value.shape[0]} rows")
    rows = -1 if value.shape[0] is None else value.shape[0] // count
    return tf.reshape(value, [count, rows, *value.shape[1:]])
