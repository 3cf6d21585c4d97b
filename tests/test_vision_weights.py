"""Weights of base models: from torchvision, from files, and from a MobileNetV2 of TensorFlow Lite."""

import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from flame.errors import CheckpointError, MetadataError, MissingExtraError
from flame.metadata import Metadata
from flame.picture.pictures import open_picture
from targets.vision import VisionTarget, forward_features
from targets.vision_networks import head_name, new_network, torchvision_models
from targets.vision_weights import PictureScale, load_base, read_tensors

try:
    torchvision_models()
except MissingExtraError:
    pytest.skip("needs torchvision", allow_module_level=True)

ARCH = "mobilenet_v3_small"
FIVE = Metadata(task="img_cls", out_dim=5, arch=ARCH)
OBVIOUS = {
    "mug": {"coffee mug", "cup"},
    "laptop": {"laptop", "notebook"},
    "mouse": {"mouse"},
    "monitor": {"monitor", "screen", "desktop computer"},
    "keyboard": {"computer keyboard", "typewriter keyboard", "space bar"},
    "backpack": {"backpack"},
    "bike": {"mountain bike", "bicycle-built-for-two"},
    "projector": {"projector"},
}


@pytest.fixture
def network():
    return new_network(ARCH, 7).eval()


def written(path, tensors):
    if path.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    else:
        torch.save(tensors, path)
    return path


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["base.safetensors", "base.pth", "base.pt"])
def test_a_file_gives_back_the_network_that_was_written(network, tmp_path, file):
    base = load_base(ARCH, written(tmp_path / file, network.state_dict()))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(base.network()(images), network(images))


def test_a_file_of_half_precision_gives_single_precision(network, tmp_path):
    halves = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    base = load_base(ARCH, written(tmp_path / "base.safetensors", halves))
    assert {t.dtype for t in base.tensors.values()} == {torch.float32, torch.int64}


def test_a_checkpoint_of_training_is_searched_for_its_tensors(network, tmp_path):
    path = written(tmp_path / "base.pth", {"epoch": 3, "state_dict": network.state_dict()})
    assert load_base(ARCH, path).tensors.keys() == network.state_dict().keys()


def test_our_reader_of_safetensors_reads_what_its_own_library_writes(tmp_path):
    tensors = {
        "a": torch.randn(3, 2).half(),
        "b": torch.randn(2).bfloat16(),
        "c": torch.tensor(4),
        "d": torch.ones(0, 2),
    }
    read = read_tensors(written(tmp_path / "all.safetensors", tensors))
    assert all(torch.equal(read[name], value) and read[name].dtype == value.dtype for name, value in tensors.items())


def test_a_base_model_goes_under_the_adapters_but_for_its_classifier(network, tmp_path):
    base = load_base(ARCH, written(tmp_path / "base.safetensors", network.state_dict()))
    target = VisionTarget(ARCH)
    model = target.build(FIVE, base)
    untrained = {s.name: torch.zeros(1, *s.shape) for s in target.static_specs()}
    images = torch.randn(2, 3, 32, 32)
    network.set_submodule(head_name(network), nn.Identity())
    assert model.get_submodule("classifier.3").out_features == 5
    assert torch.equal(forward_features(model, untrained, images[None])[0], network(images))


def test_weights_without_a_classifier_serve_as_a_base_only(network, tmp_path):
    body = {name: t for name, t in network.state_dict().items() if not name.startswith("classifier.3")}
    base = load_base(ARCH, written(tmp_path / "base.pth", body))
    assert VisionTarget(ARCH).build(FIVE, base)
    with pytest.raises(CheckpointError, match=r"holds no classifier 'classifier.3'"):
        base.network()


# --- what cannot be read ----------------------------------------------------------------------------------------------


def test_all_faults_of_a_file_are_named_together(network, tmp_path):
    tensors = network.state_dict() | {"other": torch.ones(1), "features.0.0.weight": torch.ones(16, 3, 5, 5)}
    tensors["features.0.1.bias"] = torch.full((16,), torch.nan)
    del tensors["features.12.0.weight"]
    with pytest.raises(CheckpointError) as caught:
        load_base(ARCH, written(tmp_path / "base.pth", tensors))
    for part in ("missing: features.12.0.weight", "unknown: other", "not finite: features.0.1.bias",
                 "of another shape: features.0.0.weight (16, 3, 5, 5) instead of (16, 3, 3, 3)"):  # fmt: skip
        assert part in str(caught.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_that_is_cut_short_or_foreign_is_refused(network, tmp_path, suffix):
    path = written(tmp_path / f"base{suffix}", network.state_dict())
    for content in (path.read_bytes()[:-1000], path.read_bytes()[:5], b"", b'\x05\0\0\0\0\0\0\0{"a":' + b" " * 90):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="truncated or foreign"):
            load_base(ARCH, path)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
        {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32"},
        3,
    ],
)
def test_a_header_that_points_outside_of_its_file_is_refused(tmp_path, entry):
    header = json.dumps({"a": entry}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    with pytest.raises(CheckpointError, match="truncated or foreign"):
        read_tensors(path)


class Harm:
    def __reduce__(self):
        return print, ("executed",)


def test_nothing_in_a_file_is_executed(tmp_path, capsys):
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    torch.save(Harm(), tmp_path / "new.pth")
    for name in ("old.pth", "new.pth"):
        with pytest.raises(CheckpointError, match="something other than tensors"):
            read_tensors(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


def test_an_unknown_name_of_weights_is_refused_with_those_that_there_are():
    with pytest.raises(
        CheckpointError, match=r"no such file or folder, and torchvision has \['IMAGENET1K_V1', 'DEFAULT'\]"
    ):
        load_base(ARCH, "IMAGENET")
    with pytest.raises(MetadataError, match="Did you mean 'mobilenet_v3_small'"):
        load_base("mobilenet_v3_smal")


def test_without_a_network_the_message_says_where_a_file_helps_and_it_does(network, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"cannot be fetched.*give the file's path or lay it at") as caught:
        load_base(ARCH)
    place = str(caught.value).rpartition("lay it at ")[2]
    torch.save(new_network(ARCH).state_dict(), place)
    assert load_base(ARCH, "IMAGENET1K_V1").scale.interpolation == "bilinear"


@pytest.mark.parametrize("files", [(), ("spec.json",), ("spec.json", "a.safetensors", "b.safetensors")])
def test_a_folder_without_one_specification_and_one_file_is_refused(tmp_path, files):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match=r"must hold spec\.json and one \.safetensors file"):
        load_base("mobilenet_v2", tmp_path)


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(300, 401), (401, 300), (100, 100), (256, 256)])
def test_pictures_are_prepared_as_torchvision_does(height, width):
    theirs = torchvision_models().get_model_weights(ARCH).DEFAULT.transforms()
    pixels = torch.randint(0, 256, (3, height, width)).float()
    smooth = functional.avg_pool2d(pixels, 9, 1, 4).byte()
    assert torch.allclose(PictureScale()(smooth), theirs(smooth), atol=1 / 255 / 0.22)  # theirs are rounded to bytes


# --- the data kit -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def converted(kit):
    folder = kit / "weights" / "mobilenet_v2_1.0_224"
    if not (folder / "spec.json").is_file():
        pytest.skip("needs the weights of the data kit: weights/mobilenet_v2_1.0_224 under FLAME_DATA")
    return folder


def as_written(folder, x):
    """The operations of `spec.json`, one after the other."""
    weights = {n: t.float() for n, t in load_file(next(folder.glob("*.safetensors"))).items()}
    made = {0: x}
    for op in json.loads((folder / "spec.json").read_text("utf8"))["ops"]:
        given = [made.get(i) for i in op["inputs"]]
        if op["op"] in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            given = [convolved(given[0], weights[f"{op['name']}.weight"], weights[f"{op['name']}.bias"], op)]
        elif op["op"] == "ADD":
            given = [given[0] + given[1]]
        elif op["op"] == "MEAN":
            given = [given[0].mean((2, 3), keepdim=True)]
        elif op["op"] == "SOFTMAX":
            return given[0].flatten(1)
        made[op["outputs"][0]] = given[0]
    raise AssertionError("no softmax")


def convolved(x, weight, bias, op):
    stride, side = op["stride"], x.shape[-1]
    missing = max(0, (-(-side // stride) - 1) * stride + weight.shape[-1] - side)
    x = functional.pad(x, (missing // 2, missing - missing // 2) * 2)
    groups = x.shape[1] if op["op"].startswith("DEPTH") else 1
    y = functional.conv2d(x, weight, bias, stride, groups=groups)
    return y.clamp(0, 6) if op["act"] == "relu6" else y


@pytest.mark.parametrize("side", [224, 96, 65])
def test_a_converted_mobilenet_computes_what_its_operations_say(converted, side):
    images = torch.rand(2, 3, side, side) * 2 - 1
    logits = load_base("mobilenet_v2", converted).network()(images)
    assert torch.allclose(logits, as_written(converted, images)[:, 1:], atol=1e-4)


def test_a_converted_mobilenet_knows_what_photographs_show(converted, kit):
    if not (kit / "vision" / "office_caltech10_256.tar").is_file():
        pytest.skip("needs the pictures of the data kit: vision/office_caltech10_256.tar under FLAME_DATA")
    base = load_base("mobilenet_v2", converted)
    names = (kit / "weights" / "imagenet_labels_1001.txt").read_text("utf8").splitlines()[1:]
    images, shown = photographs(kit / "vision" / "office_caltech10_256.tar", base.scale, each=4)
    with torch.inference_mode():
        best = base.network()(images).topk(5).indices.tolist()
    hits = [
        bool({names[i].split(",")[0] for i in five} & OBVIOUS[label]) for five, label in zip(best, shown, strict=True)
    ]
    assert len(hits) == 32
    assert sum(hits) / len(hits) > 0.7


def photographs(path, scale, *, each):
    """The first of every class of the webcam's."""
    count, images, labels = dict.fromkeys(OBVIOUS, 0), [], []
    with tarfile.open(path) as archive:
        for member in sorted((m for m in archive if m.isfile() and "webcam" in m.name), key=lambda m: m.name):
            label = member.name.split("/")[-2]
            if count.get(label, each) < each:
                count[label] += 1
                picture = open_picture(Image.open(archive.extractfile(member)))
                pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
                images.append(scale(pixels))
                labels.append(label)
    return torch.stack(images), labels


def test_a_converted_network_is_adapted_as_any_other(converted):
    base = load_base("mobilenet_v2", converted)
    target = VisionTarget("mobilenet_v2", kind="film")
    model = target.build(FIVE, base)
    weights = {s.name: 0.1 * torch.randn(1, *s.shape) for s in (*target.static_specs(), *target.dynamic_specs(FIVE))}
    images = torch.rand(1, 2, 3, 64, 64)
    features = forward_features(model, weights, images)[0]
    merged = target.merge(model, weights)
    assert torch.allclose(
        merged(images[0]), features @ weights["classifier.1.weight"][0].T + weights["classifier.1.bias"][0], atol=1e-5
    )


def test_layers_of_another_order_are_refused(converted, tmp_path):
    tensors = load_file(next(converted.glob("*.safetensors")))
    (tmp_path / "spec.json").touch()
    written(tmp_path / "a.safetensors", {n: t for n, t in tensors.items() if not n.startswith("l07")})
    with pytest.raises(CheckpointError, match="53 layers of a weight and a bias are expected, however: 52"):
        load_base("mobilenet_v2", tmp_path)
    with pytest.raises(CheckpointError, match="only those of mobilenet_v2 are known, however: 'resnet50'"):
        load_base("resnet50", tmp_path)
