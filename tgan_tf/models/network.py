"""What the networks share: they are built at once, and their summary shows every layer's shape."""

from __future__ import annotations

import keras


class Network(keras.Model):
    """A subclassed Keras model whose input shapes follow from its constructor's arguments.

    A network calls `build_layers` at the end of its constructor: its variables exist from then on,
    in the order of the layers, so that a strategy's scope and a seed are needed nowhere else.
    """

    def build_layers(self, *input_shapes: tuple) -> None:
        """Creates the variables, for symbolic inputs of these shapes (without the batch axis)."""
        self._input_shapes = input_shapes
        self(self._symbolic_inputs())

    def functional(self) -> keras.Model:
        """The same layers as a functional model, for `summary` and `keras.utils.plot_model`."""
        inputs = self._symbolic_inputs()
        return keras.Model(inputs, self.call(inputs), name=self.name)

    def summary(self, **kwargs) -> None:
        """Prints a row a layer with its output shape; arguments as of `keras.Model.summary`."""
        self.functional().summary(**kwargs)

    def _symbolic_inputs(self):
        inputs = [keras.Input(shape) for shape in self._input_shapes]
        return inputs if len(inputs) > 1 else inputs[0]
