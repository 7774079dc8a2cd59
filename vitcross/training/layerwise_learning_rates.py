"""Scales the learning rate of each parameter (layer-wise learning-rate decay)."""


class LayerwiseLearningRates:
    """Optimizer mix-in that multiplies each variable's update and weight decay by its scale.

    Keras has one learning rate for all variables. The update of each is computed from it, so the rate is scaled.
    """

    def scale_learning_rates(self, scales):
        """Set the scales: dict of variable path to a factor in (0, 1], for all variables of the built optimizer."""
        self._scales = [scales[v.path] for v in self._trainable_variables]

    def update_step(self, gradient, variable, learning_rate):
        scale = self._scale_of(variable)
        super().update_step(gradient, variable, learning_rate if scale == 1.0 else learning_rate * scale)

    def _apply_weight_decay(self, variables):
        decays = {name: getattr(self, name) for name in ("weight_decay", "adam_weight_decay") if hasattr(self, name)}
        by_scale = {}
        for variable in variables:
            by_scale.setdefault(self._scale_of(variable), []).append(variable)
        for scale, members in by_scale.items():
            self._set({name: decay and decay * scale for name, decay in decays.items()})
            super()._apply_weight_decay(members)
        self._set(decays)

    def _set(self, values):
        for name, value in values.items():
            setattr(self, name, value)

    def _scale_of(self, variable):
        scales = getattr(self, "_scales", None)
        return 1.0 if scales is None else scales[self._get_variable_index(variable)]
