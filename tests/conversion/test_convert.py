"""Weights of Caffe become runs that compute what Caffe computes, whatever is changed on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import classicnets as cn
from classicnets import api
from classicnets.errors import ClassicnetsError, DataError, UsageError
from classicnets.runs import checkpoint
from classicnets.weights import caffe
from support.command_line import CommandLine
from support.old_weights import CLASSES, SIDE, Files, make_files, make_image


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return make_files(tmp_path / "files")


def probabilities(run: Path, image: Path) -> np.ndarray:
    model = cn.load(run, device="cpu")
    prediction = model.predict(image, top=CLASSES)[0]
    by_name = dict(zip(prediction.classes, prediction.probabilities, strict=True))
    return np.array([by_name[name] for name in model.classes])


def convert(files: Files, out: Path, **options: object) -> api.weights.Converted:
    return api.weights.convert(files.model, out, graph=str(files.definition), **options)


VALUES = torch.tensor([104.0, 117.0, 123.0]).reshape(3, 1, 1)  # of blue, green and red


@pytest.mark.parametrize("name", ["run", "run.safetensors"])
@pytest.mark.parametrize("form", ["none", "values", "image"])
def test_a_converted_run_predicts_what_caffe_predicts(files: Files, tmp_path: Path, name: str, form: str) -> None:
    pixels = make_image(tmp_path / "image.png")
    mean = torch.zeros(1)
    options: dict[str, object] = {}
    if form == "values":
        options["mean"], mean = "104,117,123", VALUES
    if form == "image":
        options["mean"], mean = str(files.mean_file), caffe.mean(files.mean_file)[:, 1:-1, 1:-1]
        options["settings"] = {"resize": SIDE}  # otherwise 14, as the mean image
    convert(files, tmp_path / name, **options)
    expected = files.probabilities(pixels, mean)
    assert expected.std() > 0.05 and expected.max() < 0.98
    np.testing.assert_allclose(probabilities(tmp_path / name, tmp_path / "image.png"), expected, atol=2e-6)


def test_an_image_is_cropped_together_with_the_mean_image(files: Files, tmp_path: Path) -> None:
    pixels = make_image(tmp_path / "image.png", side=SIDE + 2)
    mean = caffe.mean(files.mean_file)[:, 1:-1, 1:-1]
    converted = convert(files, tmp_path / "run", mean=str(files.mean_file))
    assert converted.preprocess.resize == SIDE + 2 and "as the mean image is" in converted.notes[0]
    expected = files.probabilities(pixels[1:-1, 1:-1], mean)
    np.testing.assert_allclose(probabilities(tmp_path / "run", tmp_path / "image.png"), expected, atol=2e-6)


def test_values_of_settings_are_in_rgb(files: Files, tmp_path: Path) -> None:
    pixels = make_image(tmp_path / "image.png")
    settings = {"mean": "0.48,0.46,0.41", "std": "0.01"}
    assert convert(files, tmp_path / "run", settings=settings).preprocess.mean == (0.48, 0.46, 0.41)
    x = (torch.from_numpy(pixels.copy()).double() / 255 - torch.tensor([0.48, 0.46, 0.41])) / 0.01
    with torch.no_grad():
        expected = files.net.double()(x.permute(2, 0, 1).flip(0)[None]).numpy()[0]
    np.testing.assert_allclose(probabilities(tmp_path / "run", tmp_path / "image.png"), expected, atol=2e-6)


@pytest.mark.parametrize("change", [("pool: MAX", "pool: AVE"), ("local_size: 3", "local_size: 5")])
def test_another_definition_than_that_in_the_file_is_noted(
    files: Files, tmp_path: Path, change: tuple[str, str]
) -> None:
    assert not any("differs" in note for note in convert(files, tmp_path / "same").notes)
    text = files.definition.read_text()
    assert change[0] in text
    files.definition.write_text(text.replace(*change))
    note = convert(files, tmp_path / "run").notes[0]
    assert note.startswith("the definition in net.caffemodel differs from deploy.prototxt: ")


def test_a_file_is_not_replaced_by_what_it_becomes(files: Files, tmp_path: Path) -> None:
    convert(files, tmp_path / "run.safetensors")
    with pytest.raises(UsageError, match="would replace the one that it is made from"):
        api.weights.convert(tmp_path / "run.safetensors", tmp_path / "run.safetensors", gray=True)
    for options in ({"mean": "104"}, {"net": "lenet_d2l"}, {"channel_order": "bgr"}, {"scale": 2.0}):
        with pytest.raises(UsageError, match="has no effect on a run of classicnets"):
            api.weights.convert(tmp_path / "run.safetensors", tmp_path / "other", **options)
    with pytest.raises(UsageError, match="the run needs a name"):
        api.weights.convert(files.model, "/", graph=str(files.definition))


def test_the_order_of_the_channels_counts(files: Files, tmp_path: Path) -> None:
    pixels = make_image(tmp_path / "image.png")
    convert(files, tmp_path / "run", mean="104,117,123", channel_order="rgb")
    swapped = files.probabilities(pixels[:, :, ::-1], VALUES)
    np.testing.assert_allclose(probabilities(tmp_path / "run", tmp_path / "image.png"), swapped, atol=2e-6)
    assert np.abs(swapped - files.probabilities(pixels, VALUES)).max() > 0.01


def test_a_scale_multiplies_pixels_after_the_mean(files: Files, tmp_path: Path) -> None:
    pixels = make_image(tmp_path / "image.png")
    for mean, centers in ((str(files.mean_file), caffe.mean(files.mean_file)[:, 1:-1, 1:-1]), ("104,117,123", VALUES)):
        run = tmp_path / f"run{len(mean)}"
        convert(files, run, mean=mean, scale=0.25, settings={"resize": SIDE})
        x = torch.from_numpy(pixels.copy()).permute(2, 0, 1).flip(0).double()
        with torch.no_grad():
            expected = files.net.double()(((x - centers) * 0.25)[None]).numpy()[0]
        np.testing.assert_allclose(probabilities(run, tmp_path / "image.png"), expected, atol=2e-6)


@pytest.mark.parametrize("mean", [None, "100", "104,117,123"])
def test_a_network_folded_for_gray_images_computes_the_same_for_them(
    files: Files, tmp_path: Path, mean: str | None
) -> None:
    pixels = make_image(tmp_path / "gray.png", gray=True)
    converted = convert(files, tmp_path / "run", gray=True, mean=mean)
    assert converted.preprocess.channels == 1 and converted.network.spec.in_channels == 1
    values = torch.tensor([float(n) for n in (mean or "0").split(",")]).reshape(-1, 1, 1)
    expected = files.probabilities(pixels, values)
    np.testing.assert_allclose(probabilities(tmp_path / "run", tmp_path / "gray.png"), expected, atol=2e-5)
    assert "exactly" in converted.changes[-1]


def test_groups_become_dense_and_return(files: Files, tmp_path: Path) -> None:
    make_image(tmp_path / "image.png")
    grouped, dense, again = (tmp_path / name for name in ("grouped.safetensors", "dense", "again"))
    convert(files, grouped)
    assert convert(files, dense, groups=1).changes[-1] == "conv2: 1 group"
    weight = cn.Run(dense).net.state_dict()["conv2.weight"]
    assert weight.shape == (6, 4, 3, 3) and weight[:3, 2:].abs().max() == 0
    back = convert(files, tmp_path / "dense.safetensors", groups=1)
    assert back.table.parameters == 2 * 6 * 2 * 9 + 6 + 4 * 27 + 4 + CLASSES * 6 * 16 + CLASSES
    expected = probabilities(grouped, tmp_path / "image.png")
    np.testing.assert_allclose(probabilities(dense, tmp_path / "image.png"), expected, atol=1e-6)
    with pytest.raises(UsageError, match="groups cannot be changed") as error:
        convert(files, again, groups=4)
    assert "no convolution has zeros between 4 groups" in str(error.value.why) and not again.exists()


def test_a_new_head_is_trained_and_the_rest_is_kept(files: Files, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("bird\ncat\n")
    converted = convert(files, tmp_path / "run", classes=str(tmp_path / "names.txt"), new_head=True)
    run = cn.Run(tmp_path / "run")
    state = run.net.state_dict()
    assert run.classes == ("bird", "cat") and state["fc3.weight"].shape == (2, 96)
    assert torch.equal(state["conv2.weight"], caffe.read(files.model, data=True)["conv2.weight"])
    assert converted.changes[-1] == "fc3: new, for 2 classes, to be trained"


def test_names_of_classes(files: Files, tmp_path: Path) -> None:
    names = tmp_path / "synset_words.txt"
    names.write_text("".join(f"n0000000{i} fish {i}, animal\n" for i in range(CLASSES)))
    assert convert(files, tmp_path / "a", classes=str(names)).classes == tuple(
        f"fish {i}, animal" for i in range(CLASSES)
    )
    names.write_text("n00000001 crane\nn00000002 crane\n" + "".join(f"n1000000{i} {i}\n" for i in range(3)))
    assert convert(files, tmp_path / "b", classes=str(names)).classes[:2] == ("n00000001 crane", "n00000002 crane")
    assert convert(files, tmp_path / "c").classes == ("0", "1", "2", "3", "4")


def test_the_run_says_where_it_is_from(files: Files, tmp_path: Path) -> None:
    converted = convert(files, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [each["name"] for each in facts["converted"]["files"]] == ["net.caffemodel", "deploy.prototxt"]
    assert facts["converted"]["format"] == "caffe" and facts["converted"]["changes"] == list(converted.changes)
    assert facts["data"] == "" and "result" not in facts
    saved = checkpoint.read_facts(tmp_path / "run" / "last.safetensors")
    assert saved["net"] == facts["net"] and "run" not in saved
    assert "converted" in repr(cn.Run(tmp_path / "run"))


ERRORS: list[tuple[str, str, str]] = [
    ("--set resiz=256", "CN202", "not a setting of preprocessing"),
    ("--set epochs=3", "CN202", "not a setting of preprocessing"),
    ("--mean 104,117", "CN206", "the mean must be 1 number, or 3 with commas"),
    ("--mean 0.4,0.5,0.6", "CN206", "--mean takes values from 0 to 255"),
    ("--mean 1e400", "CN206", "the mean must be 1 number"),
    ("--mean 100 --set mean=0.4", "CN206", "--mean and --set mean contradict each other"),
    ("--scale 0.5 --set std=1", "CN206", "--scale and --set std contradict each other"),
    ("--mean MEAN --set views=10 resize=14", "CN206", "a mean image and several views"),
    ("--set mean=0.5,0.4", "CN204", "mean must be 1 number, or 3"),
    ("--set image_size=abc", "CN204", "image_size must be an integer"),
    ("--mean none.binaryproto", "CN305", "cannot be opened"),
    ("--mean MODEL", "CN305", "cannot be used"),
    ("--mean SMALL", "CN306", "does not fit images of 3x12x12"),
    ("--classes none.txt", "CN305", "names of the classes cannot be read"),
    ("--classes MODEL", "CN305", "names of the classes cannot be read"),
    ("--classes TWO", "CN306", "has 2 names, and the network 5 outputs"),
    ("--classes TWICE", "CN306", "two classes have the same name"),
    ("--new-head", "CN206", "needs the names of its classes"),
    ("--net alexnet", "CN202", "there is no network"),
    ("--net lenet_d2l", "CN206", "the graph is not lenet_d2l"),
    ("--gray --mean MEAN", "CN206", "cannot be combined"),
    ("--set image_size=3", "CN306", "the graph is no network"),
    ("--groups 1 --groups 3", "CN206", "groups cannot be changed"),
]


@pytest.mark.parametrize(("options", "code", "text"), ERRORS)
def test_what_cannot_be_converted_is_refused_and_writes_nothing(
    files: Files, tmp_path: Path, cli: CommandLine, options: str, code: str, text: str
) -> None:
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "twice.txt").write_text("a\na\nb\nc\nd\n")
    places = {
        "MODEL": files.model,
        "MEAN": files.mean_file,
        "SMALL": _small_mean(tmp_path),
        "TWO": tmp_path / "two.txt",
        "TWICE": tmp_path / "twice.txt",
    }
    words = [places.get(word, word) for word in options.split()]
    before = sorted(tmp_path.rglob("*"))
    status, out, err = cli(
        "weights", "convert", files.model, "--graph", files.definition, "-o", tmp_path / "run", *words
    )
    assert (status, out) == (3 if code.startswith("CN3") else 2, "") and f"error[{code}]" in err and text in err
    assert sorted(tmp_path.rglob("*")) == before


def _small_mean(folder: Path) -> Path:
    from classicnets.weights import wire
    from classicnets.weights.caffe_schema import BLOB

    shape = {"num": 1, "channels": 3, "height": 4, "width": 4}
    path = folder / "small.binaryproto"
    path.write_bytes(b"".join(wire.encode(BLOB, {**shape, "data": np.zeros(48, np.float32)})))
    return path


def test_a_folder_with_files_is_never_overwritten(files: Files, tmp_path: Path) -> None:
    convert(files, tmp_path / "run")
    with pytest.raises(UsageError, match="never overwritten"):
        convert(files, tmp_path / "run")


def test_gray_needs_colors(tmp_path: Path) -> None:
    gray = make_files(tmp_path / "files", channels=1)
    for options in ({"gray": True}, {"channel_order": "bgr"}):
        with pytest.raises(UsageError, match="channel"):
            convert(gray, tmp_path / "run", **options)


def test_converted_weights_are_not_resumed_and_are_trained_further(
    files: Files, tmp_path: Path, cli: CommandLine
) -> None:
    convert(files, tmp_path / "run")
    code, _out, err = cli("train", "--resume", tmp_path / "run")
    assert code == 2 and "error[CN208]" in err and f"classicnets train {tmp_path / 'run'} --weights" in err
    code, out, err = cli(
        "train", tmp_path / "run", "--weights", tmp_path / "run", "--data", _images(tmp_path), "--dry-run", "--set",
        "std=1", "image_size=12", "fit=stretch",
    )  # fmt: skip
    assert code == 0 and "weights expect images that are normalized with std=0.00392157" in out + err


def _images(folder: Path) -> Path:
    from support.images import make_image_folder

    return make_image_folder(folder / "images", classes="abcde", per_class=4, test_per_class=2, size=SIDE)


@pytest.mark.parametrize("name", ["run", "run.safetensors"])
def test_evaluate_and_export_take_a_converted_run(files: Files, tmp_path: Path, cli: CommandLine, name: str) -> None:
    (tmp_path / "names.txt").write_text("\n".join("abcde"))
    convert(files, tmp_path / name, classes=str(tmp_path / "names.txt"), settings={"resize": 14}, mean="104,117,123")
    code, out, err = cli("evaluate", tmp_path / name, _images(tmp_path))
    assert code == 0, err
    assert "on 10 images" in out and "stretched or shrunk to 14x14 pixels; 1 view of 12x12 pixels" in out
    code, _out, err = cli("evaluate", tmp_path / name)
    assert code == 2 and "does not state its data set" in err
    code, out, err = cli("export", tmp_path / name, "-o", tmp_path / "net.onnx")
    assert code == 0 and "agrees with the network" in out, err
    image = next((tmp_path / "images").rglob("*.png"))
    ours, exported = (cn.load(path).predict(image)[0] for path in (tmp_path / name, tmp_path / "net.onnx"))
    assert ours.classes == exported.classes
    np.testing.assert_allclose(ours.probabilities, exported.probabilities, atol=1e-5)


def test_a_file_that_is_no_run_says_so(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "x.safetensors", {"net/a": torch.zeros(2)}, {})
    with pytest.raises(UsageError, match="has weights, but is not a run"):
        cn.load(tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    with pytest.raises(ClassicnetsError, match="truncated or damaged"):
        cn.load(tmp_path / "y.safetensors")


def test_a_damaged_run_file_is_refused(files: Files, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    convert(files, path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError):
        cn.load(path)
