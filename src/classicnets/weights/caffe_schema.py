"""Caffe's messages as far as they are read: layers of all three generations, their settings, and blobs.

Source: https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto
"""

from __future__ import annotations

from classicnets.weights.messages import SKIP, Enum, Schema

PHASE = Enum("Phase", {"TRAIN": 0, "TEST": 1})
POOL_METHOD = Enum("PoolMethod", {"MAX": 0, "AVE": 1, "STOCHASTIC": 2})
V1_TYPES = Enum(
    "LayerType",
    {
        "NONE": 0, "ACCURACY": 1, "BNLL": 2, "CONCAT": 3, "CONVOLUTION": 4, "DATA": 5, "DROPOUT": 6,
        "EUCLIDEAN_LOSS": 7, "FLATTEN": 8, "HDF5_DATA": 9, "HDF5_OUTPUT": 10, "IM2COL": 11, "IMAGE_DATA": 12,
        "INFOGAIN_LOSS": 13, "INNER_PRODUCT": 14, "LRN": 15, "MULTINOMIAL_LOGISTIC_LOSS": 16, "POOLING": 17,
        "RELU": 18, "SIGMOID": 19, "SOFTMAX": 20, "SOFTMAX_LOSS": 21, "SPLIT": 22, "TANH": 23, "WINDOW_DATA": 24,
        "ELTWISE": 25, "POWER": 26, "SIGMOID_CROSS_ENTROPY_LOSS": 27, "HINGE_LOSS": 28, "MEMORY_DATA": 29,
        "ARGMAX": 30, "THRESHOLD": 31, "DUMMY_DATA": 32, "SLICE": 33, "MVN": 34, "ABSVAL": 35, "SILENCE": 36,
        "CONTRASTIVE_LOSS": 37, "EXP": 38, "DECONVOLUTION": 39,
    },
)  # fmt: skip

BLOB_SHAPE = Schema("BlobShape", {1: ("dim", ["int"])}, closed=True, packed=True)
BLOB = Schema(
    "BlobProto",
    {
        7: ("shape", BLOB_SHAPE),
        5: ("data", ["floats"]),
        6: ("diff", SKIP),
        8: ("double_data", ["doubles"]),
        9: ("double_diff", SKIP),
        # the shape before BlobShape was introduced
        1: ("num", "int"),
        2: ("channels", "int"),
        3: ("height", "int"),
        4: ("width", "int"),
    },
)

_CONVOLUTION = Schema(
    "ConvolutionParameter",
    {
        1: ("num_output", "uint"),
        2: ("bias_term", "bool"),
        3: ("pad", ["uint"]),
        4: ("kernel_size", ["uint"]),
        5: ("group", "uint"),
        6: ("stride", ["uint"]),
        7: ("weight_filler", SKIP),
        8: ("bias_filler", SKIP),
        9: ("pad_h", "uint"),
        10: ("pad_w", "uint"),
        11: ("kernel_h", "uint"),
        12: ("kernel_w", "uint"),
        13: ("stride_h", "uint"),
        14: ("stride_w", "uint"),
        15: ("engine", SKIP),
        16: ("axis", "int"),
        17: ("force_nd_im2col", SKIP),
        18: ("dilation", ["uint"]),
    },
    closed=True,
)
_POOLING = Schema(
    "PoolingParameter",
    {
        1: ("pool", POOL_METHOD),
        2: ("kernel_size", "uint"),
        3: ("stride", "uint"),
        4: ("pad", "uint"),
        5: ("kernel_h", "uint"),
        6: ("kernel_w", "uint"),
        7: ("stride_h", "uint"),
        8: ("stride_w", "uint"),
        9: ("pad_h", "uint"),
        10: ("pad_w", "uint"),
        11: ("engine", SKIP),
        12: ("global_pooling", "bool"),
        13: ("round_mode", Enum("RoundMode", {"CEIL": 0, "FLOOR": 1})),
    },
    closed=True,
)
_INNER_PRODUCT = Schema(
    "InnerProductParameter",
    {
        1: ("num_output", "uint"),
        2: ("bias_term", "bool"),
        3: ("weight_filler", SKIP),
        4: ("bias_filler", SKIP),
        5: ("axis", "int"),
        6: ("transpose", "bool"),
    },
    closed=True,
)
_LRN = Schema(
    "LRNParameter",
    {
        1: ("local_size", "uint"),
        2: ("alpha", "float"),
        3: ("beta", "float"),
        4: ("norm_region", Enum("NormRegion", {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1})),
        5: ("k", "float"),
        6: ("engine", SKIP),
    },
    closed=True,
)
_BATCH_NORM = Schema(
    "BatchNormParameter",
    {1: ("use_global_stats", "bool"), 2: ("moving_average_fraction", "float"), 3: ("eps", "float")},
    closed=True,
)
_SCALE = Schema(
    "ScaleParameter",
    {
        1: ("axis", "int"),
        2: ("num_axes", "int"),
        3: ("filler", SKIP),
        4: ("bias_term", "bool"),
        5: ("bias_filler", SKIP),
    },
    closed=True,
)
_ELTWISE = Schema(
    "EltwiseParameter",
    {
        1: ("operation", Enum("EltwiseOp", {"PROD": 0, "SUM": 1, "MAX": 2})),
        2: ("coeff", ["float"]),
        3: ("stable_prod_grad", SKIP),
    },
    closed=True,
)
_POWER = Schema("PowerParameter", {1: ("power", "float"), 2: ("scale", "float"), 3: ("shift", "float")}, closed=True)
_EXP = Schema("ExpParameter", {1: ("base", "float"), 2: ("scale", "float"), 3: ("shift", "float")}, closed=True)
_LOG = Schema("LogParameter", {1: ("base", "float"), 2: ("scale", "float"), 3: ("shift", "float")}, closed=True)
_RELU = Schema("ReLUParameter", {1: ("negative_slope", "float"), 2: ("engine", SKIP)}, closed=True)
_PRELU = Schema("PReLUParameter", {1: ("filler", SKIP), 2: ("channel_shared", "bool")}, closed=True)
_ELU = Schema("ELUParameter", {1: ("alpha", "float")}, closed=True)
_DROPOUT = Schema("DropoutParameter", {1: ("dropout_ratio", "float")}, closed=True)
_CONCAT = Schema("ConcatParameter", {1: ("concat_dim", "uint"), 2: ("axis", "int")}, closed=True)
_SOFTMAX = Schema("SoftmaxParameter", {1: ("engine", SKIP), 2: ("axis", "int")}, closed=True)
_FLATTEN = Schema("FlattenParameter", {1: ("axis", "int"), 2: ("end_axis", "int")}, closed=True)
_RESHAPE = Schema(
    "ReshapeParameter", {1: ("shape", BLOB_SHAPE), 2: ("axis", "int"), 3: ("num_axes", "int")}, closed=True
)
_INPUT = Schema("InputParameter", {1: ("shape", [BLOB_SHAPE])}, closed=True)
_MEMORY_DATA = Schema("MemoryDataParameter", {2: ("channels", "uint"), 3: ("height", "uint"), 4: ("width", "uint")})
_DUMMY_DATA = Schema(
    "DummyDataParameter",
    {6: ("shape", [BLOB_SHAPE]), 3: ("channels", ["uint"]), 4: ("height", ["uint"]), 5: ("width", ["uint"])},
)
# the preprocessing of a layer that reads data, which moved from the layer's own settings to `transform_param`
_TRANSFORM = Schema(
    "TransformationParameter",
    {1: ("scale", "float"), 3: ("crop_size", "uint"), 4: ("mean_file", "string"), 5: ("mean_value", ["float"])},
)
_DATA = Schema("DataParameter", {2: ("scale", "float"), 3: ("mean_file", "string"), 5: ("crop_size", "uint")})

RULE = Schema(
    "NetStateRule",
    {
        1: ("phase", PHASE),
        2: ("min_level", "int"),
        3: ("max_level", "int"),
        4: ("stage", ["string"]),
        5: ("not_stage", ["string"]),
    },
    closed=True,
)

LAYER = Schema(
    "LayerParameter",
    {
        1: ("name", "string"),
        2: ("type", "string"),
        3: ("bottom", ["string"]),
        4: ("top", ["string"]),
        7: ("blobs", [BLOB]),
        8: ("include", [RULE]),
        9: ("exclude", [RULE]),
        100: ("transform_param", _TRANSFORM),
        104: ("concat_param", _CONCAT),
        106: ("convolution_param", _CONVOLUTION),
        107: ("data_param", _DATA),
        108: ("dropout_param", _DROPOUT),
        109: ("dummy_data_param", _DUMMY_DATA),
        110: ("eltwise_param", _ELTWISE),
        111: ("exp_param", _EXP),
        115: ("image_data_param", _DATA),
        117: ("inner_product_param", _INNER_PRODUCT),
        118: ("lrn_param", _LRN),
        119: ("memory_data_param", _MEMORY_DATA),
        121: ("pooling_param", _POOLING),
        122: ("power_param", _POWER),
        123: ("relu_param", _RELU),
        125: ("softmax_param", _SOFTMAX),
        129: ("window_data_param", _DATA),
        131: ("prelu_param", _PRELU),
        133: ("reshape_param", _RESHAPE),
        134: ("log_param", _LOG),
        135: ("flatten_param", _FLATTEN),
        139: ("batch_norm_param", _BATCH_NORM),
        140: ("elu_param", _ELU),
        142: ("scale_param", _SCALE),
        143: ("input_param", _INPUT),
    },
)
_V0_LAYER = Schema(
    "V0LayerParameter",
    {
        1: ("name", "string"),
        2: ("type", "string"),
        3: ("num_output", "uint"),
        4: ("biasterm", "bool"),
        7: ("pad", "uint"),
        8: ("kernelsize", "uint"),
        9: ("group", "uint"),
        10: ("stride", "uint"),
        11: ("pool", POOL_METHOD),
        12: ("dropout_ratio", "float"),
        13: ("local_size", "uint"),
        14: ("alpha", "float"),
        15: ("beta", "float"),
        17: ("scale", "float"),
        18: ("meanfile", "string"),
        20: ("cropsize", "uint"),
        22: ("k", "float"),
        50: ("blobs", [BLOB]),
        65: ("concat_dim", "uint"),
    },
)
V1_LAYER = Schema(
    "V1LayerParameter",
    {
        1: ("layer", _V0_LAYER),
        2: ("bottom", ["string"]),
        3: ("top", ["string"]),
        4: ("name", "string"),
        5: ("type", V1_TYPES),
        6: ("blobs", [BLOB]),
        9: ("concat_param", _CONCAT),
        10: ("convolution_param", _CONVOLUTION),
        11: ("data_param", _DATA),
        12: ("dropout_param", _DROPOUT),
        15: ("image_data_param", _DATA),
        17: ("inner_product_param", _INNER_PRODUCT),
        18: ("lrn_param", _LRN),
        19: ("pooling_param", _POOLING),
        20: ("window_data_param", _DATA),
        21: ("power_param", _POWER),
        22: ("memory_data_param", _MEMORY_DATA),
        24: ("eltwise_param", _ELTWISE),
        26: ("dummy_data_param", _DUMMY_DATA),
        30: ("relu_param", _RELU),
        32: ("include", [RULE]),
        33: ("exclude", [RULE]),
        36: ("transform_param", _TRANSFORM),
        39: ("softmax_param", _SOFTMAX),
        41: ("exp_param", _EXP),
    },
)
NET = Schema(
    "NetParameter",
    {
        1: ("name", "string"),
        2: ("layers", [V1_LAYER]),
        3: ("input", ["string"]),
        4: ("input_dim", ["int"]),
        5: ("force_backward", SKIP),
        6: ("state", SKIP),
        7: ("debug_info", SKIP),
        8: ("input_shape", [BLOB_SHAPE]),
        100: ("layer", [LAYER]),
    },
)
