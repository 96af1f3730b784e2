"""The articles' DCGAN in Keras, written anew: trains for as many CPU seconds as each line on stdin asks, and says so.

Run by speed.py in an environment of its own. Network and step are those of the TensorFlow DCGAN walk-through
(https://www.tensorflow.org/tutorials/generative/dcgan): cross-entropy from logits, Adam at 1e-4, 100 noise numbers, one
forward pass of the generator for both gradients, the whole step compiled by tf.function, float32, one thread.
"""

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tensorflow.keras import Sequential, layers, losses, optimizers  # noqa: E402

NOISE = 100


def make_generator():
    """Noise [n, 100] to pictures [n, 28, 28, 1] in [-1, 1]."""

    def settled():
        return [layers.BatchNormalization(momentum=0.8), layers.LeakyReLU(0.3)]

    def upward(filters, stride, **options):
        return layers.Conv2DTranspose(filters, 5, strides=stride, padding="same", use_bias=False, **options)

    return Sequential(
        [
            layers.Input((NOISE,)),
            layers.Dense(7 * 7 * 256, use_bias=False),
            *settled(),
            layers.Reshape((7, 7, 256)),
            upward(128, 1),
            *settled(),
            upward(64, 2),
            *settled(),
            upward(1, 2, activation="tanh"),
        ]
    )


def make_discriminator():
    """Pictures [n, 28, 28, 1] to logits [n, 1]."""
    body = [layers.Input((28, 28, 1))]
    for filters in (64, 128):
        body += [layers.Conv2D(filters, 5, strides=2, padding="same"), layers.LeakyReLU(0.3), layers.Dropout(0.3)]
    return Sequential([*body, layers.Flatten(), layers.Dense(1)])


def make_step(batch):
    """One compiled update of both nets on pictures [batch, 28, 28, 1]."""
    generator, discriminator = make_generator(), make_discriminator()
    entropy = losses.BinaryCrossentropy(from_logits=True)
    for_generator, for_discriminator = optimizers.Adam(1e-4), optimizers.Adam(1e-4)

    @tf.function
    def step(real):
        noise = tf.random.normal((batch, NOISE))
        with tf.GradientTape() as his, tf.GradientTape() as hers:
            made = generator(noise, training=True)
            true, fake = discriminator(real, training=True), discriminator(made, training=True)
            fooled = entropy(tf.ones_like(fake), fake)
            told = entropy(tf.ones_like(true), true) + entropy(tf.zeros_like(fake), fake)
        weights, judges = generator.trainable_variables, discriminator.trainable_variables
        for_generator.apply_gradients(zip(his.gradient(fooled, weights), weights, strict=True))
        for_discriminator.apply_gradients(zip(hers.gradient(told, judges), judges, strict=True))
        return fooled, told

    return step


def main():
    path, batch = sys.argv[1], int(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(0)
    pictures = np.load(path, allow_pickle=False).astype("float32") / 127.5 - 1
    real = iter(tf.data.Dataset.from_tensor_slices(pictures).shuffle(len(pictures), 0).repeat().batch(batch))
    step = make_step(batch)
    for _ in range(5):
        step(next(real))
    print(f"ready TensorFlow {tf.__version__}, float32", flush=True)
    for line in sys.stdin:
        wanted, began, steps = float(line), time.process_time(), 0
        while time.process_time() - began < wanted:
            fooled, _ = step(next(real))
            steps += 1
        assert np.isfinite(float(fooled))
        print(steps * batch, time.process_time() - began, flush=True)


if __name__ == "__main__":
    main()
