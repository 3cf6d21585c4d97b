"""Writers and engines of the formats; see `FORMATS` at the end.

Every package is imported where it is used. What an exporter notes of source files and their places is taken out: an
export says nothing of the machine it was made on.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flame.export.formats import Format, load
from flame.export.forms import Batch, Form
from flame.export.parity import ExportError
from flame.export.runner import CARD_KEY

OUTPUT = "y"
"""Name of the output, in formats whose outputs have names."""


# --- torch ------------------------------------------------------------------------------------------------------------


def exported(form: Form) -> torch.export.ExportedProgram:
    """The form's module as a graph for any number of rows, and any size of the other axes that may differ."""
    free = {axis: torch.export.Dim(name, min=axis + 1, max=most) for axis, (name, most) in form.axes.items()}
    with _quiet():
        program = torch.export.export(form.module, form.example, dynamic_shapes=(tuple(free for _ in form.names),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
        node.meta.pop("nn_module_stack", None)
    return program


def write_pt2(form: Form, place: Path) -> None:
    with _quiet():
        torch.export.save(exported(form), place, extra_files={"card.json": json.dumps(form.card)})


def run_pt2(form: Form, place: Path) -> np.ndarray:
    with _quiet(), torch.inference_mode():
        module = torch.export.load(place).module()
        return np.concatenate([module(*batch.values()).numpy() for batch in form.batches])


# --- ONNX -------------------------------------------------------------------------------------------------------------


def write_onnx(form: Form, place: Path) -> None:
    onnx = load("onnx")
    with _quiet():
        program = torch.onnx.export(
            exported(form), dynamo=True, input_names=list(form.names), output_names=[OUTPUT], verbose=False
        )
    assert program is not None
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:], proto.graph.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    for value in proto.graph.input:
        for axis, (name, _) in form.axes.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    for tensor in proto.graph.initializer:
        del tensor.metadata_props[:]
    _tell(proto, form)
    onnx.checker.check_model(proto)
    onnx.save(proto, place)


def run_onnx(form: Form, place: Path) -> np.ndarray:
    ort = load("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([OUTPUT], numbers(batch))[0] for batch in form.batches])


def write_int8(form: Form, place: Path) -> None:
    """Weights in 8 bits: of matrix products, with inputs quantised as they come, or of convolutions, calibrated."""
    onnx, quantization = load("onnx"), load("onnxruntime.quantization")
    whole = place.with_name("whole.onnx")
    write_onnx(form, whole)
    try:
        with _quiet():
            # One scale a channel: with one a layer, networks of depthwise convolutions lose two classes in three.
            if form.calibrated:
                quantization.quantize_static(whole, place, _ranges(form), per_channel=True)
            else:
                kind = quantization.QuantType.QUInt8
                quantization.quantize_dynamic(whole, place, weight_type=kind, per_channel=True)
    finally:
        whole.unlink()
    proto = onnx.load(place)
    _tell(proto, form)
    onnx.save(proto, place)


def _ranges(form: Form) -> Any:
    """The form's rows as onnxruntime reads them to see how large activations become."""
    rows = iter([numbers(batch) for batch in form.batches])

    class Rows(load("onnxruntime.quantization").CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(rows, None)

    return Rows()


# --- OpenVINO ---------------------------------------------------------------------------------------------------------


def write_openvino(form: Form, place: Path) -> None:
    ov = load("openvino")
    with _quiet():
        model = ov.convert_model(exported(form))
    for port, (name, value) in zip(model.inputs, form.batches[0].items(), strict=True):
        port.get_tensor().set_names({name})
        shape = [-1 if axis in form.axes else size for axis, size in enumerate(value.shape)]
        port.get_node().set_partial_shape(ov.PartialShape(shape))
    model.outputs[0].get_tensor().set_names({OUTPUT})
    model.validate_nodes_and_infer_types()
    for key, text in _told(form).items():
        model.set_rt_info(text, ["flame", key.removeprefix("flame.")])
    ov.save_model(model, place, compress_to_fp16=False)


def run_openvino(form: Form, place: Path) -> np.ndarray:
    ov = load("openvino")
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(str(place), "CPU", options)
    return np.concatenate([np.array(compiled(numbers(batch))[OUTPUT]) for batch in form.batches])


# --- ncnn -------------------------------------------------------------------------------------------------------------


def write_ncnn(form: Form, place: Path) -> None:
    pnnx = load("pnnx")
    example = tuple(value[:1] for value in form.example)  # ncnn runs one row at a time
    with tempfile.TemporaryDirectory(prefix=".pnnx.", dir=place.parent) as work:
        traced = Path(work) / "model.pt"
        with _quiet(), _silent_processes():
            pnnx.export(_without_picking(form, example), str(traced), example, fp16=False)
        param, weights = (traced.with_name(f"model.ncnn.{kind}") for kind in ("param", "bin"))
        if not (param.is_file() and weights.is_file()):
            raise ExportError(f"{place.name}: pnnx made no ncnn model of it; try another format")
        stem = place.name.removesuffix(".ncnn.param")
        os.replace(param, place)
        os.replace(weights, place.with_name(f"{stem}.ncnn.bin"))


def run_ncnn(form: Form, place: Path) -> np.ndarray:
    ncnn = load("ncnn")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    weights = place.with_name(place.name.removesuffix(".param") + ".bin")
    if net.load_param(str(place)) != 0 or net.load_model(str(weights)) != 0:
        raise ExportError(f"{place.name}: ncnn has not all of the layers that the model needs; try another format")
    rows = []
    for row in (row for batch in form.batches for row in zip(*numbers(batch).values(), strict=True)):
        extractor = net.create_extractor()
        for i, value in enumerate(row):
            extractor.input(f"in{i}", ncnn.Mat(np.ascontiguousarray(value)))
        code, out = extractor.extract("out0")
        if code != 0:
            raise ExportError(f"{place.name}: ncnn cannot run it (code {code}); try another format")
        rows.append(np.array(out).reshape(-1))
    return np.stack(rows)


def _without_picking(form: Form, example: tuple[torch.Tensor, ...]) -> torch.nn.Module:
    """The same network for one row, with `x[:, columns]` as a product with zeros and ones: ncnn picks no columns."""
    traced = torch.export.export(form.module, example).module()
    assert isinstance(traced, torch.fx.GraphModule)
    module = torch.fx.GraphModule(traced, traced.graph)  # one that has `eval`, which pnnx calls
    for node in list(module.graph.nodes):
        if node.op == "call_module":  # checks of the inputs
            module.graph.erase_node(node)
        elif node.target is torch.ops.aten.index.Tensor:
            _multiply_instead(module, node)
    module.recompile()
    return module


def _multiply_instead(module: torch.fx.GraphModule, node: torch.fx.Node) -> None:
    source: Any = node.args[0]
    picked: Any = node.args[1]
    columns = module.get_buffer(picked[1].target)
    width = source.meta["val"].shape[1]
    ones = torch.nn.functional.one_hot(columns.flatten(), width).float().T.contiguous()
    module.register_buffer(f"ones_of_{node.name}", ones)
    with module.graph.inserting_before(node):
        product = module.graph.call_function(torch.matmul, (source, module.graph.get_attr(f"ones_of_{node.name}")))
        shaped = module.graph.call_function(torch.reshape, (product, (1, *columns.shape)))
    node.replace_all_uses_with(shaped)
    module.graph.erase_node(node)


# --- what they share --------------------------------------------------------------------------------------------------


def numbers(batch: Batch) -> dict[str, np.ndarray]:
    """A batch as engines but torch take it."""
    return {name: value.numpy() for name, value in batch.items()}


def _told(form: Form) -> dict[str, str]:
    """What an export says of itself, for formats with room for it."""
    told: dict[str, Any] = {key: form.card[key] for key in ("task", "target", "labels", "output", "requirement")}
    texts = {f"flame.{key}": v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for key, v in told.items()}
    return {**texts, CARD_KEY: form.card["sha256"]}


def _tell(proto: Any, form: Form) -> None:
    del proto.metadata_props[:]
    for key, text in _told(form).items():
        proto.metadata_props.add(key=key, value=text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters talk about their own insides; what goes wrong is raised."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


@contextlib.contextmanager
def _silent_processes() -> Iterator[None]:
    """What started programs, pnnx here, print goes nowhere."""
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        with open(os.devnull, "wb") as nowhere:
            for number in kept:
                os.dup2(nowhere.fileno(), number)
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


FORMATS: dict[str, Format] = {
    f.name: f
    for f in (
        Format("pt2", ".pt2", write_pt2, run_pt2, ("torch",)),
        Format("onnx", ".onnx", write_onnx, run_onnx, ("onnxruntime", "onnx", "onnxscript")),
        Format("int8", ".int8.onnx", write_int8, run_onnx, ("onnxruntime", "onnx", "onnxscript"), exact=False),
        Format("openvino", ".xml", write_openvino, run_openvino, ("openvino",), beside=".bin"),
        Format("ncnn", ".ncnn.param", write_ncnn, run_ncnn, ("ncnn", "pnnx"), beside=".ncnn.bin"),
    )
}
"""Formats by name."""
