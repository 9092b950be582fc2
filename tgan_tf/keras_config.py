"""Checks configurations of Keras models before Keras builds anything from them.

A configuration is JSON that names classes and functions at any depth. Keras builds what it names:
it imports any named module and takes anything from it, and it runs the code in a Lambda layer.
Keras's safe mode refuses only the latter, and only in .keras files. So a file of unknown origin is
not given to `keras.models.load_model`. Here it is parsed, duplicate keys are refused, and every
object in it must be known to do nothing but compute: a Keras layer in the list below, an
initialiser, regulariser, constraint, activation or optimiser of Keras, or an object that this
process has registered with `keras.saving.register_keras_serializable`, which is code that its user
has chosen to run. Everything else is refused, including Lambda layers and layers that open files.
"""

from __future__ import annotations

import json
import re
from typing import Any

import keras

_LAYERS = """
    Functional Model Sequential InputLayer Layer Wrapper
    Activation ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU
    Dense EinsumDense Embedding Identity Masking
    Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose
    Convolution1D Convolution2D Convolution3D DepthwiseConv1D DepthwiseConv2D
    SeparableConv1D SeparableConv2D LocallyConnected1D LocallyConnected2D
    AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D
    GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    RNN SimpleRNN SimpleRNNCell GRU GRUCell LSTM LSTMCell StackedRNNCells Bidirectional
    TimeDistributed ConvLSTM1D ConvLSTM2D ConvLSTM3D
    BatchNormalization GroupNormalization LayerNormalization UnitNormalization Normalization
    SpectralNormalization SyncBatchNormalization
    Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D AlphaDropout GaussianDropout
    GaussianNoise ActivityRegularization
    Attention AdditiveAttention MultiHeadAttention
    Flatten Permute RepeatVector Reshape Cropping1D Cropping2D Cropping3D
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    Add Average Concatenate Dot Maximum Minimum Multiply Subtract
    CenterCrop Rescaling Resizing RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight
    RandomRotation RandomTranslation RandomWidth RandomZoom
""".split()
_SMALL_PARTS = [keras.activations, keras.constraints, keras.initializers, keras.regularizers]
_OPTIMIZERS = [keras.optimizers, keras.optimizers.schedules]
_KNOWN = {
    *_LAYERS,
    *(
        name
        for module in [*_SMALL_PARTS, *_OPTIMIZERS]
        for name, part in vars(module).items()
        if callable(part) and name not in ("get", "serialize", "deserialize")
    ),
    "LossScaleOptimizer",
    "LossScaleOptimizerV3",
    "DTypePolicy",
    "Policy",
}
_MODULES = re.compile(
    r"keras|keras\.(layers(\.experimental)?|models|activations|constraints|initializers|regularizers|"
    r"mixed_precision|optimizers(\.schedules|\.experimental)?)|"
    r"keras(\.src)?\.((engine|models)\.(functional|sequential)|"
    r"mixed_precision\.loss_scale_optimizer)|"
    # The module of TensorFlow's initialisers of the same names, which some Keras networks use.
    r"tensorflow\.python\.ops\.init_ops_v2"
)

# The form of saved calls of TensorFlow functions on the tensors of a functional model.
_OPERATIONS = {"TFOpLambda", "SlicingOpLambda"}
_OPERATIONS_MODULE = re.compile(r"keras(\.src)?\.layers\.core\.tf_op_layer")
_FUNCTION_OF_TENSORS = re.compile(
    r"(math|nn|linalg)\.[a-z0-9_]+|__operators__\.[a-z]+|"
    "broadcast_to|cast|clip_by_value|concat|expand_dims|gather|identity|ones_like|pad|repeat|"
    "reshape|reverse|shape|slice|split|squeeze|stack|strided_slice|tile|transpose|unstack|where|"
    "zeros_like|image[.](resize|rgb_to_grayscale|grayscale_to_rgb|flip_left_right)"
)

# The form of saved calls of keras.ops in Keras 3. Operations that take a function are left out.
_OPS_MODULE = re.compile(r"keras(\.src)?\.ops\.(numpy|nn|math|linalg|image)")
_CORE_OPS_MODULE = re.compile(r"keras(\.src)?\.ops\.core")
_CORE_OPS = {"Cast", "Slice", "StopGradient", "Unstack"}

_PLAIN = {"__tuple__", "__ellipsis__", "__slice__", "__keras_tensor__", "TensorShape"}
_ARRAYS = {"__tensor__", "__numpy__"}
_NUMBERS = re.compile("bool|bfloat16|u?int(8|16|32|64)|float(16|32|64)")

# A string under such a key names a class or function.
_NAMES_A_FUNCTION = re.compile(".*(activation|constraint|initializer|regularizer)")


def checked(text: str | bytes) -> dict[str, Any]:
    """Parses a configuration from which Keras may safely build objects.

    Args:
        text: JSON from `keras.Model.to_json` or `keras.saving.serialize_keras_object`.

    Returns:
        The configuration without the models' compile configurations: an extractor needs no loss or
        metric.

    Raises:
        ValueError: it is not a JSON object, an object has a duplicate key, or it names anything not
            known to be safe.
    """
    try:
        config = json.loads(text, object_pairs_hook=_with_each_key_once)
        if not isinstance(config, dict):
            raise ValueError("its configuration is not a JSON object")
        _check(config)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("its configuration is not one of Keras") from error
    return config


def _with_each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # One reader might use the first and another the last.
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"its configuration has the key {twice!r} twice in one object")
    values.pop("compile_config", None)
    return values


def _check(value: object, key: str = "") -> None:
    if isinstance(value, dict):
        if "class_name" in value:
            _check_object(value)
        for inner_key, inner in value.items():
            _check(inner, inner_key)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, key)
    elif isinstance(value, str):
        # Keras decodes some strings as JSON once more.
        if value.lstrip()[:1] in ("{", "["):
            raise ValueError("its configuration holds a string that is itself a configuration")
        if _NAMES_A_FUNCTION.fullmatch(key) and not _is_known(value):
            raise ValueError(f"it names {value!r} as its {key}, which may be code")


def _check_object(found: dict[str, Any]) -> None:
    name, module = found["class_name"], found.get("module")
    config: Any = found.get("config")
    registered_name = found.get("registered_name")
    if not all(part is None or isinstance(part, str) for part in (name, module, registered_name)):
        raise ValueError("its configuration has a class name that is not a string")
    if name in _PLAIN:
        safe = True
    elif name in _ARRAYS:
        safe = _NUMBERS.fullmatch(str(config["dtype"])) is not None
    elif name == "function":
        safe = (
            isinstance(config, str)
            and hasattr(keras.activations, config)
            and _is_known(config)
            and module in ("builtins", "keras.activations")
            and registered_name in (None, "function", config)
        )
        name = config
    elif name in _OPERATIONS:
        function = config["function"]
        safe = (
            isinstance(function, str)
            and _FUNCTION_OF_TENSORS.fullmatch(function) is not None
            and _is_of(_OPERATIONS_MODULE, module)
            and registered_name in (None, name)
        )
        name = f"{name} of {function}"
    elif module is not None and (
        _OPS_MODULE.fullmatch(module) or (_CORE_OPS_MODULE.fullmatch(module) and name in _CORE_OPS)
    ):
        safe = registered_name in (None, name)
    elif name in _KNOWN:
        # If the user has registered a class with such a name, Keras uses that.
        safe = (_is_of(_MODULES, module) and registered_name in (None, name)) or (
            module is not None and _is_registered(registered_name, name)
        )
    else:
        # From serialize_keras_object, or from to_json, which has only class_name.
        safe = _is_registered(found.get("registered_name", name), name)
    if not safe:
        of_module = f" of the module {module!r}" if module else ""
        raise ValueError(f"it holds {name!r}{of_module}, which may be code")


def _is_of(modules: re.Pattern[str], module: str | None) -> bool:
    return module is None or modules.fullmatch(module) is not None


def _is_known(name: str) -> bool:
    return name in _KNOWN or keras.saving.get_registered_object(name) is not None


def _is_registered(registered_name: str | None, class_name: str) -> bool:
    return (
        registered_name is not None
        and registered_name.split(">")[-1] == class_name.split(">")[-1]
        and keras.saving.get_registered_object(registered_name) is not None
    )
