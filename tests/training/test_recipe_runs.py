"""Every published recipe runs on folders of images; only its number of epochs is reduced.

The nets for ImageNet have a small net of five convolutions and three dense layers stand in for them, on images of
32 x 32 out of 36 x 36; everything else of their recipes is as published. One of them runs at its full size.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.events import Epoch, Step
from classicnets.models.registry import NETS
from classicnets.recipes import resolve
from classicnets.recipes.resolve import ANY_NET, RecipeKey
from classicnets.runs import history
from classicnets.spec import run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Recipe
from support.command_line import CommandLine
from support.images import make_image_folder
from support.typed import present

KEYS: dict[str, Any] = {"argvalues": resolve.RECIPES, "ids": lambda key: f"{key.source}-{key.label}"}
SIDES = {"mnist": 28, "fashion_mnist": 28, "cifar10": 32, "imagenet": 36}
# As (epochs, batch size): those that learn three classes in so short a time. Not among them: sigmoids (they need some
# thousand steps), LeNet-5 of 1998 (below), and the first weights of 2012 and 2014 in so small a net.
LEARNS = {
    RecipeKey("caffe2014", "lenet_caffe"): (3, 16),
    RecipeKey("fast", ANY_NET): (15, 8),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each data set, a folder of images of the same size and channels, with three classes."""
    root = tmp_path_factory.mktemp("folders")
    return {
        name: make_image_folder(
            root / f"like_{name}", per_class=20, test_per_class=5, size=side, color="mnist" not in name
        )
        for name, side in SIDES.items()
    }


def stand_in(channels: int) -> nn.Sequential:
    """A small network with the layers of AlexNet: [N, channels, 32, 32] to three logits."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 8, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Flatten(),
        nn.Dropout(), nn.Linear(256, 32), nn.ReLU(),
        nn.Dropout(), nn.Linear(32, 32), nn.ReLU(),
        nn.Linear(32, 3),
    )  # fmt: skip


def made(key: RecipeKey) -> tuple[str | nn.Module, Recipe]:
    """The network and recipe to train: those of the key, or the small network with smaller images."""
    recipe = resolve.RECIPES[key]
    if recipe.net in NETS and NETS[recipe.net].input[1] < 200:
        return recipe.net, recipe
    if recipe.image_size:
        recipe = replace(recipe, image_size=32, resize=36 if recipe.resize else None)
    elif recipe.net not in NETS:
        recipe = replace(recipe, image_size=32)
    return stand_in(1 if "mnist" in recipe.data else 3), recipe


@pytest.mark.parametrize("key", **KEYS)
def test_every_recipe_runs(key: RecipeKey, folders: dict[str, Path]) -> None:
    net, recipe = made(key)
    epochs, batch = LEARNS.get(key, (1, recipe.batch_size))
    run = cn.train(net, recipe=recipe, data=str(folders[recipe.data]), epochs=epochs, batch_size=batch, quiet=True)
    ran = Recipe.from_dict(run.facts["recipe"])
    assert ran.precision in {"float32", "bfloat16"} and recipe.precision == "auto"
    assert replace(ran, precision="auto") == replace(recipe, epochs=epochs, batch_size=batch)
    losses = [event.loss for event in history.read(run.folder.history) if isinstance(event, Epoch)]
    assert len(losses) == epochs and all(map(math.isfinite, [*losses, present(run.result)["test_loss"]]))
    if key in LEARNS:
        assert losses[-1] < 0.5 * losses[0] and present(run.result)["test_accuracy"] > 0.9
    weights = run.net.state_dict()
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert run.facts["as_published"] is False
    not_compared = (
        "not compared with the published result, because the network, the recipe, the data or the number of images was"
        " changed"
    )
    assert present(run.result)["verdict"] == (not_compared if recipe.expected else "")
    card = (run.path / "card.md").read_text()
    assert all(f"- {line}\n" in card for line in recipe.deviations)
    assert f"epochs={epochs}" in card and (not_compared if recipe.expected else "no result is published") in card


@pytest.mark.slow
def test_lenet5_learns_at_the_first_learning_rate_of_1998(folders: dict[str, Path]) -> None:
    """1,500 images with batches of one; the published learning rates drop too early for so few."""
    recipe = replace(
        resolve.RECIPES[RecipeKey("lecun1998", "lenet5_1998")], schedule="constant", drop_at=(), drop_to=()
    )
    run = cn.train("lenet5_1998", recipe=recipe, data=str(folders["mnist"]), epochs=25, quiet=True)
    losses = [event.loss for event in history.read(run.folder.history) if isinstance(event, Epoch)]
    assert recipe.batch_size == 1 and losses[-1] < 0.3 * losses[0] and present(run.result)["test_accuracy"] > 0.9


@pytest.mark.parametrize("key", **KEYS)
def test_every_recipe_updates_weights_with_its_rates(key: RecipeKey, folders: dict[str, Path]) -> None:
    """Compares the learning rates and weight decays of the first step with the recipe."""
    net, recipe = made(key)
    planned = plan(*run_spec(net, recipe=recipe, data=str(folders[recipe.data]), limit=3, settings={"batch_size": 2}))
    training_run = Session.start(planned, lambda _: None)
    before = {name: p.detach().clone() for name, p in training_run.net.named_parameters()}
    next(event for event in training_run.events() if isinstance(event, Step))
    names = {id(p): name for name, p in training_run.net.named_parameters()}
    used = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in training_run.state.optimizer.param_groups
        for p in group["params"]
    }
    assert used.keys() == before.keys()
    rate = recipe.lr * 0.05 if recipe.schedule == "one_cycle" else recipe.lr  # which begins at a twentieth
    decays = iter(recipe.weight_decays)
    for name, (lr, decay) in used.items():
        if name.endswith("bias"):
            assert (lr, decay) == (
                pytest.approx(rate * recipe.bias_lr),
                recipe.weight_decay if recipe.bias_decay else 0,
            )
        else:
            assert lr == pytest.approx(rate)
            if not recipe.weight_decays:
                assert decay == recipe.weight_decay
    assert not recipe.weight_decays or list(decays) == [d for n, (_, d) in used.items() if not n.endswith("bias")]
    assert any(not torch.equal(before[name], p) for name, p in training_run.net.named_parameters())


def train_images(folder: Path, split: str = "train") -> np.ndarray:
    """uint8 [N, H, W, C], in the order of classes and files."""
    return np.stack([np.array(Image.open(p)) for p in sorted(folder.glob(f"{split}/*/*"), key=natural)])


def natural(path: Path) -> tuple[str, int]:
    return path.parent.name, int(path.stem.split("_")[1])


MEASURED = [key for key, recipe in resolve.RECIPES.items() if not recipe.mean and recipe.validation == 0]


@pytest.mark.parametrize("key", MEASURED, ids=KEYS["ids"])
def test_the_mean_of_the_training_images_is_computed_and_saved(key: RecipeKey, folders: dict[str, Path]) -> None:
    net, recipe = made(key)
    folder = folders[recipe.data]
    planned = plan(*run_spec(net, recipe=recipe, data=str(folder)))
    assert planned.preprocess.mean == (0.0,)  # no image has been read
    started = Session.start(planned, lambda _: None)
    expected = train_images(folder).mean(axis=(0, 1, 2)) / 255
    assert started.predictor.preprocess.mean == pytest.approx(expected, rel=1e-6)
    facts = started.folder.read()
    assert facts["preprocess"]["mean"] == list(started.predictor.preprocess.mean)
    assert facts["recipe"]["mean"] == [] and expected.std() > 0.001
    x, _ = next(iter(started.batches.epoch(1)))
    assert x.abs().max() > 30  # raw values minus their mean


def test_the_mean_excludes_the_validation_set(folders: dict[str, Path]) -> None:
    net, recipe = made(RecipeKey("cuda_convnet", "cifar10_13pct"))
    started = Session.start(plan(*run_spec(net, recipe=recipe, data=str(folders["cifar10"]))), lambda _: None)
    assert started.batches.train_count == 48 and len(started.batches.labels) == 60  # a fifth joins them later
    expected = started.batches.images(torch.arange(48)).double().mean(dim=(0, 2, 3)) / 255
    assert started.predictor.preprocess.mean == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.parametrize(
    ("key", "views"),
    [(RecipeKey("krizhevsky2012", "alexnet_2012"), 10), (RecipeKey("cuda_convnet", "cifar10_13pct"), 9)],
)
def test_the_result_averages_the_published_views(key: RecipeKey, views: int, folders: dict[str, Path]) -> None:
    net, recipe = made(key)
    recipe = replace(recipe, initialize="as_built")  # initial weights with which outputs depend on the image
    folder = folders[recipe.data]
    run = cn.train(net, recipe=recipe, data=str(folder), epochs=1, quiet=True)
    preprocess = run.predictor.preprocess
    size, border = preprocess.image_size, preprocess.side - preprocess.image_size
    middle = border // 2
    places = [(middle, middle), (0, 0), (0, border), (border, 0), (border, border)]
    if views == 9:
        places += [(0, middle), (middle, 0), (middle, border), (border, middle)]
    raw = train_images(folder, "test").transpose(0, 3, 1, 2) / 255.0
    x = (raw - np.array(preprocess.mean)[:, None, None]) / preprocess.std[0]
    views_of_image = [x[:, :, top : top + size, left : left + size] for top, left in places]
    if views == 10:
        views_of_image += [view[..., ::-1] for view in views_of_image]
    assert len(views_of_image) == views
    run.net.eval()
    with torch.no_grad():
        mean = torch.stack([run.net(torch.tensor(view.copy()).float()).softmax(1) for view in views_of_image]).mean(
            dim=0
        )
    labels = torch.arange(3).repeat_interleave(5)
    loss = nn.functional.nll_loss(mean.log(), labels)
    assert present(run.result)["test_loss"] == pytest.approx(loss.item(), rel=1e-4)
    single = run.net(torch.tensor(views_of_image[0].copy()).float()).softmax(1)
    assert not torch.allclose(single, mean, rtol=1e-5)


@pytest.mark.parametrize(
    "key", [key for key, recipe in resolve.RECIPES.items() if recipe.data in resolve.NOT_FETCHED], ids=KEYS["ids"]
)
def test_data_that_cannot_be_downloaded_is_requested(key: RecipeKey, cli: CommandLine) -> None:
    code, _, err = cli("train", key.net, "--recipe", key.source)
    data = resolve.RECIPES[key].data
    assert code == 3 and f"error[CN302]: the recipe is for {data}, which is not downloaded automatically" in err
    assert "hint:  --data FOLDER" in err and not Path("runs").exists()


def test_other_data_with_the_published_name_is_not_compared(tmp_path: Path) -> None:
    """An unchanged recipe, on a folder that is named imagenet but contains other images."""
    net, recipe = made(RecipeKey("torchvision", "alexnet_torchvision"))
    recipe = replace(recipe, epochs=1, drop_at=(), drop_to=(), schedule="constant")
    data = make_image_folder(tmp_path / "imagenet", per_class=4, test_per_class=2, size=36)
    run = cn.train(net, recipe=recipe, data=str(data), quiet=True)
    assert run.facts["as_published"] is False and present(run.result)["verdict"].startswith("not compared")


@pytest.mark.slow
def test_alexnet_at_its_full_size(tmp_path: Path) -> None:
    data = make_image_folder(tmp_path / "photographs", per_class=10, test_per_class=1, size=64)
    run = cn.train("alexnet_2012", data=str(data), recipe="krizhevsky2012", epochs=1, limit=8, batch_size=4, quiet=True)
    try:
        assert run.facts["recipe"]["source"] == "krizhevsky2012" and run.facts["preprocess"]["views"] == 10
        assert run.facts["preprocess"]["image_size"] == 224 and len(run.facts["preprocess"]["mean"]) == 3
        (epoch,) = [event for event in history.read(run.folder.history) if isinstance(event, Epoch)]
        assert math.isfinite(epoch.loss) and epoch.validation_accuracy is not None
        assert sum(p.numel() for p in run.net.parameters()) == NETS["alexnet_2012"].parameters - 4097 * 997
    finally:
        shutil.rmtree(run.path)  # 700 MB
