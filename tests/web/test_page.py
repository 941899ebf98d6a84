"""The page of `export --format web` in Chromium, on two small trained networks."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

import classicnets as cn
from classicnets.export import web
from classicnets.handwriting import read_handwriting
from classicnets.images import transforms
from classicnets.images.decode import fit_images

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EQUATIONS = (Path(__file__).parent / "equations.js").read_text("utf-8")
AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
]

OWN_NETWORK = '''
import torch
from torch import nn
from torch.nn import functional as F


class Stranger(nn.Module):
    """Every kind of layer that the page explains, a residual sum, and an operation that is no layer."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.act = nn.LeakyReLU(0.1)
        self.lrn = nn.LocalResponseNorm(3, alpha=0.5)
        self.pool = nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False)
        self.grouped = nn.Conv2d(8, 12, 3, stride=2, padding=2, dilation=2, groups=4)
        self.gelu = nn.GELU()
        self.side = nn.Conv2d(12, 12, 1)
        self.last = nn.AdaptiveAvgPool2d((3, 2))
        self.drop = nn.Dropout()
        self.out = nn.Linear(72, 3)
        nn.init.normal_(self.out.weight)  # large weights, so that the two views of an image have different answers

    def forward(self, x):
        x = self.pool(self.lrn(self.act(self.norm(self.stem(x)))))
        x = self.gelu(self.grouped(x))
        x = F.relu(x + self.side(x))
        return self.out(self.drop(self.last(x).flatten(1)))
'''


@pytest.fixture(scope="module")
def runs(blobs: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[cn.Run, cn.Run]:
    """A network for gray images of 28 x 28, and a stranger's one for color images."""
    place = tmp_path_factory.mktemp("runs")
    fast = {"recipe": "fast", "quiet": True, "runs": place, "epochs": 2}
    gray = cn.train("lenet_caffe", data=str(blobs), lr=0.05, optimizer="sgd", **fast)
    file = place / "stranger.py"
    file.write_text(OWN_NETWORK)
    color = cn.train(f"{file}:Stranger", data=str(folder), views=2, **fast)
    return gray, color


@pytest.fixture(scope="module")
def sites(runs: tuple[cn.Run, cn.Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sites, `both`, `gray` and `color`, and the file `both.html`, from one export, which takes seconds."""
    place = tmp_path_factory.mktemp("sites")
    gray, color = runs
    gray.export(place / "both", color, format="web")
    (place / "both.html").write_bytes(web.single_file(place / "both"))
    for number, name in enumerate(("gray", "color")):
        shutil.copytree(place / "both", place / name)
        site = json.loads((place / name / "site.json").read_text())
        site["networks"] = [site["networks"][number]]
        (place / name / "site.json").write_text(json.dumps(site))
    shutil.copytree(place / "gray", place / "characters")
    site = json.loads((place / "gray" / "site.json").read_text())
    site["networks"][0]["handwriting"] = True
    (place / "characters" / "site.json").write_text(json.dumps(site))
    return place


@pytest.fixture(scope="module")
def address(sites: Path) -> Iterator[str]:
    """The address of a server of the sites."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(sites)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


Open = Callable[..., Any]


@pytest.fixture(scope="module")
def opened(browser: Any, address: str) -> Iterator[Open]:
    """Opens a site in a window of its own; no page may ask another server, nor fail unseen."""
    contexts, requests, errors = list[Any](), list[str](), list[str]()

    def open_page(name: str, *, wait: bool = True, script: str = "", **settings: Any) -> Any:
        settings = {"viewport": {"width": 1440, "height": 900}, "locale": "en-US"} | settings
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(name if "://" in name else f"{address}/{name}/")
        if wait:
            page.wait_for_selector("body[data-ready=true]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
    assert [url for url in requests if not url.startswith((address, "file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def gray(opened: Open) -> Any:
    """The page of the gray network, as one of characters, which several tests use in turn."""
    page = opened("characters")
    page.set_checked("#centered", False)
    return page


@pytest.fixture(scope="module")
def color(opened: Open) -> Any:
    """The page of the stranger's network."""
    return opened("color")


def run_count(page: Any) -> int:
    return int(page.evaluate("Number(document.body.dataset.runs)"))


def after_run(page: Any, action: Callable[[], Any]) -> None:
    """Does something that changes the image, and waits until it is classified."""
    before = run_count(page)
    action()
    page.wait_for_function("before => Number(document.body.dataset.runs) > before", arg=before)
    page.wait_for_timeout(50)  # a change during the run starts another one


def probabilities(page: Any) -> dict[str, float]:
    """The classes that the page shows, with their exact probabilities."""
    script = "items => items.map(item => [item.querySelector('.class').textContent, Number(item.dataset.probability)])"
    return dict(page.eval_on_selector_all(".bars li", script))


def upload(page: Any, file: Path) -> None:
    after_run(page, lambda: page.set_input_files("#file", file))


def check_equal(page: Any, run: cn.Run, file: Path) -> None:
    """The page shows the probabilities that Python computes for a file."""
    (prediction,) = run.predict(file, top=len(run.classes))
    shown = probabilities(page)
    expected = dict(zip(prediction.classes, prediction.probabilities, strict=True))
    assert shown.keys() <= expected.keys()
    assert max(abs(expected[name] - value) for name, value in shown.items()) < 1e-5


def images() -> dict[str, Image.Image]:
    """Images of several sizes and kinds."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 61, 4), dtype=np.uint8)
    noise[..., 3] = 255 * (noise[..., 3] > 99)  # browsers round the colors of half-transparent pixels
    return {
        "tall": Image.fromarray(noise[..., :3]),
        "wide": Image.fromarray(noise[:13, :, 0]),
        "transparent": Image.fromarray(noise[:40, :40]),
        "palette": Image.fromarray(noise[:28, :28, 0]).convert("P"),
        "pixel": Image.fromarray(noise[:1, :1, :3]),
    }


def draw(page: Any) -> None:
    """Draws a seven with the mouse."""
    box = page.locator("#drawing").bounding_box()
    points = [(0.3, 0.25), (0.7, 0.25), (0.62, 0.45), (0.45, 0.8)]
    page.mouse.move(box["x"] + box["width"] * points[0][0], box["y"] + box["height"] * points[0][1])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=6)
    page.mouse.up()


def drawing_of(page: Any, file: Path) -> Path:
    """Saves the drawing area as a file."""
    url = page.evaluate("document.getElementById('drawing').toDataURL('image/png')")
    file.write_bytes(base64.b64decode(url.partition(",")[2]))
    return file


def test_classifies_a_drawing_as_python_does(gray: Any, runs: tuple[cn.Run, cn.Run], tmp_path: Path) -> None:
    gray.set_checked("#centered", False)
    after_run(gray, lambda: gray.click("#clear"))
    after_run(gray, lambda: draw(gray))
    gray.wait_for_function("() => document.getElementById('status').textContent.includes('probability')")
    check_equal(gray, runs[0], drawing_of(gray, tmp_path / "drawing.png"))


def test_centers_a_drawing_as_python_does(gray: Any, runs: tuple[cn.Run, cn.Run], tmp_path: Path) -> None:
    after_run(gray, lambda: gray.click("#clear"))
    after_run(gray, lambda: draw(gray))
    after_run(gray, lambda: gray.set_checked("#centered", True))
    data = gray.evaluate("document.querySelector('.seen').toDataURL('image/png')")
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).convert("L"), dtype=int)
    preprocess = runs[0].predictor.preprocess
    expected = read_handwriting(drawing_of(gray, tmp_path / "drawing.png"), preprocess)[0].astype(int)
    pad = preprocess.pad
    inside = seen[pad : pad + preprocess.side, pad : pad + preprocess.side]
    assert np.abs(inside - expected).max() <= 4 and expected.max() > 200
    gray.set_checked("#centered", False)


@pytest.mark.parametrize("name", images())
def test_probabilities_are_those_of_python(
    gray: Any, color: Any, runs: tuple[cn.Run, cn.Run], tmp_path: Path, name: str
) -> None:
    file = tmp_path / f"{name}.png"
    images()[name].save(file)
    for page, run in zip((gray, color), runs, strict=True):
        upload(page, file)
        check_equal(page, run, file)


def test_a_hundred_images_have_the_probabilities_of_python(
    gray: Any, color: Any, runs: tuple[cn.Run, cn.Run], tmp_path: Path
) -> None:
    random = np.random.default_rng(2)
    for page, run in zip((gray, color), runs, strict=True):
        for number in range(50):
            height, width = random.integers(1, 150, 2)
            file = tmp_path / f"{number}.png"
            Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(file)
            upload(page, file)
            check_equal(page, run, file)


def test_draws_on_an_image(gray: Any) -> None:
    gray.set_checked("#centered", False)
    after_run(gray, lambda: gray.locator("#example-list button").nth(1).click())
    seen = "document.querySelector('.seen').toDataURL()"
    bare, bare_seen, bare_answer = probabilities(gray), gray.evaluate(seen), gray.inner_text(".answer")
    assert "draw on this image" in gray.inner_text("#pad-note")
    pressed = "[...document.querySelectorAll('#example-list button')].map(button => button.ariaPressed).indexOf('true')"
    assert gray.evaluate(pressed) == 1
    after_run(gray, lambda: draw(gray))
    assert gray.evaluate(seen) != bare_seen and probabilities(gray) != bare
    assert not re.search("right|wrong", gray.inner_text(".answer"))  # of what is drawn, the true class is not known
    assert gray.evaluate(pressed) == -1
    after_run(gray, lambda: gray.click("#undo"))
    assert gray.evaluate(seen) == bare_seen and probabilities(gray) == bare
    assert gray.inner_text(".answer") == bare_answer and re.search("right|wrong", bare_answer)
    assert gray.evaluate(pressed) == 1
    names = gray.locator("[data-output=probabilities] .class-names")
    names.scroll_into_view_if_needed()
    gray.wait_for_selector("[data-output=probabilities] .best")
    assert "pad is empty" not in gray.inner_text("#explanation")
    after_run(gray, lambda: gray.click("#clear"))
    assert names.locator(".best").count() == 0 and "pad is empty" in gray.inner_text("#explanation")
    assert gray.inner_text(".headline") == "–" and gray.inner_text("#pad-note") == ""
    after_run(gray, lambda: gray.click("#undo"))
    assert gray.evaluate(seen) == bare_seen and gray.inner_text(".answer") == bare_answer  # with its true class
    after_run(gray, lambda: gray.locator("#example-list button").nth(2).click())
    after_run(gray, lambda: gray.click("#undo"))
    assert gray.evaluate(seen) == bare_seen and gray.inner_text(".answer") == bare_answer


def test_everything_can_be_undone(opened: Open) -> None:
    page = opened("gray")
    undo = page.locator("#undo")
    assert undo.get_attribute("aria-disabled") == "true"  # the image that is shown first
    after_run(page, lambda: page.click("#clear"))
    after_run(page, lambda: draw(page))
    after_run(page, undo.click)
    assert page.inner_text(".headline") == "–" and undo.get_attribute("aria-disabled") == "false"
    after_run(page, undo.click)
    assert page.inner_text(".headline") != "–" and undo.get_attribute("aria-disabled") == "true"


def test_only_characters_are_centered(gray: Any, color: Any) -> None:
    assert gray.is_visible("#centered-label") and not color.is_visible("#centered-label")


def test_inverts_an_image(gray: Any, runs: tuple[cn.Run, cn.Run], tmp_path: Path) -> None:
    after_run(gray, lambda: gray.click("#clear"))
    assert gray.inner_text("#paper-text") == "Dark paper" and gray.is_checked("#paper")
    levels = np.full((28, 28), 250, np.uint8)
    levels[8:20, 12:16] = np.arange(12)[:, None]
    for name, content in (("bright", levels), ("dark", 255 - levels)):
        Image.fromarray(content).save(tmp_path / f"{name}.png")
    upload(gray, tmp_path / "bright.png")
    assert "light on dark" in gray.inner_text("#pad-note") and gray.inner_text("#paper-text") == "Invert"
    after_run(gray, lambda: gray.set_checked("#paper", True))
    assert "light on dark" not in gray.inner_text("#pad-note")
    check_equal(gray, runs[0], tmp_path / "dark.png")
    after_run(gray, lambda: gray.click("#undo"))
    check_equal(gray, runs[0], tmp_path / "bright.png")
    assert not gray.is_checked("#paper")
    after_run(gray, lambda: gray.click("#clear"))
    assert gray.is_checked("#paper")


def test_nothing_moves_and_maps_are_on_the_first_screen(gray: Any, tmp_path: Path) -> None:
    gray.set_viewport_size({"width": 1366, "height": 768})
    after_run(gray, gray.locator("#example-list button").first.click)
    places = "['#network', '#inspector'].map(part => document.querySelector(part).getBoundingClientRect().top)"
    gray.evaluate("scrollTo(0, 0)")
    place = gray.evaluate(places)
    box = gray.locator(".layer.type-conv .maps").first.bounding_box()
    assert box["y"] + 100 < 768
    after_run(gray, lambda: gray.click("#clear"))
    assert gray.evaluate(places) == place
    (tmp_path / "broken.png").write_bytes(b"nothing")
    gray.set_input_files("#file", tmp_path / "broken.png")
    gray.wait_for_selector("#notice:not([hidden])")
    assert gray.evaluate(places) == place
    after_run(gray, lambda: draw(gray))
    assert not gray.is_visible("#notice") and gray.evaluate(places) == place
    gray.set_input_files("#file", tmp_path / "broken.png")
    gray.wait_for_selector("#notice:not([hidden])")
    gray.click("#dismiss")
    assert not gray.is_visible("#notice")
    gray.set_viewport_size({"width": 1440, "height": 900})


def test_layers_are_connected_and_one_click_away(color: Any) -> None:
    layers = color.locator("[data-output]").count()
    assert color.locator(".edges circle").count() == layers
    assert color.locator(".edges path").count() == layers  # all but the input have one, and the residual sum has two
    assert color.locator(".edges .unknown").count() == 0
    buttons = color.locator(".overview button")
    assert buttons.count() == layers and buttons.first.get_attribute("aria-current") == "true"
    assert color.locator(".legend .gray").count() == 1  # of the input
    shown_value(color, "probabilities", buttons.last.click)
    color.wait_for_selector(".overview button:last-child[aria-current=true]")
    assert color.evaluate("document.activeElement.closest('[data-output]').dataset.output") == "probabilities"
    buttons.first.click()
    color.wait_for_selector(".overview button[aria-current=true]:nth-of-type(1)")


def layer_outputs(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The output of every leaf module, in the order of their calls."""
    outputs: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _m, _a, y, name=name: outputs.update({name: y[0].detach().clone()}))
        for name, module in net.named_modules()
        if not list(module.children())
    ]
    net.eval()(x)
    for handle in handles:
        handle.remove()
    return outputs


@pytest.mark.parametrize("which", [0, 1], ids=["gray", "color"])
def test_values_and_calculations_of_every_layer(
    gray: Any, color: Any, runs: tuple[cn.Run, cn.Run], sites: Path, tmp_path: Path, which: int
) -> None:
    page, run, name = (gray, color)[which], runs[which], ("gray", "color")[which]
    site = json.loads((sites / name / "site.json").read_text())
    preprocess = run.predictor.preprocess
    side = preprocess.side
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
    noise[:, : side // 2] //= 3  # so that it differs from its mirror image
    Image.fromarray(noise).save(tmp_path / "noise.png")
    upload(page, tmp_path / "noise.png")
    fitted = torch.from_numpy(fit_images(noise.transpose(2, 0, 1)[None], preprocess))
    outputs = layer_outputs(run.net, torch.cat(transforms.views(fitted, preprocess)))
    unreadable = """() => {
        const right = document.getElementById('explanation').getBoundingClientRect().right;
        const results = [...document.querySelectorAll('#explanation .result')];
        const cutOff = results.filter(result => result.getBoundingClientRect().right > right);
        const labels = [...document.querySelectorAll('#explanation munder > mtext')];
        const touching = labels.filter(label => {
            const top = label.getBoundingClientRect().top + parseFloat(getComputedStyle(label).paddingTop);
            return top - label.previousElementSibling.getBoundingClientRect().bottom < 3;
        });
        return [...cutOff, ...touching].map(element => element.textContent);
    }"""
    logits = outputs[site["networks"][0]["layers"][-1]["name"]].flatten()
    explained, equations = 0, dict.fromkeys(outputs, 0)
    for layer in site["networks"][0]["layers"]:
        maps = page.locator(f'[data-output="{layer["output"]}"] .maps')
        maps.scroll_into_view_if_needed()
        maps.focus()
        expected = outputs[layer["name"]].flatten()
        for key in ("Home", "End", "PageUp"):
            page.keyboard.press(key)
            page.wait_for_function(
                "([layer]) => document.getElementById('inspector-value').dataset.layer === layer", arg=[layer["output"]]
            )
            page.wait_for_timeout(30)
            shown = page.evaluate("({...document.getElementById('inspector-value').dataset})")
            value = float(expected[int(shown["index"])])
            bound = 1e-4 * max(1.0, float(expected.abs().max()))
            assert abs(float(shown["value"]) - value) < bound, layer["name"]
            assert page.evaluate(unreadable) == [], layer["name"]
            if shown["calculated"]:
                explained += 1
                assert abs(float(shown["calculated"]) - value) < bound, layer["name"]
            equations[layer["name"]] += check_equations(page, logits)
    unexplained = {name for name, count in equations.items() if count == 0}
    assert unexplained <= {"flatten", "drop"}  # which change nothing
    last = run.classes[int(shown["index"])]
    assert page.inner_text("#inspector-title").endswith(f"({last})")  # the outputs of the last layer are the classes
    assert explained >= 3 * (len(site["networks"][0]["layers"]) - 1)
    check_probability(page, page.locator(".bars li").nth(1))
    assert check_equations(page, logits) > len(run.classes)
    check_views(page, preprocess.views)


def check_equations(page: Any, logits: torch.Tensor) -> int:
    """Every equation that the panel prints holds within the rounding of its numbers; returns how many there are."""
    found = page.evaluate(EQUATIONS, logits.tolist())
    assert found["wrong"] == []
    return int(found["count"])


def check_views(page: Any, views: int) -> None:
    """With several views, the page says which one the layers show, and what the other ones are."""
    assert page.locator(".other-views canvas").count() == views - 1
    notes = page.locator(".network-head .note").all_inner_texts()
    assert notes == (
        [] if views == 1 else [f"The layers show view 1 of {views}; the answer is the mean over all views."]
    )
    if views > 1:
        first, second = page.evaluate(
            "[...document.querySelectorAll('.seen, .other-views canvas')].map(canvas => canvas.toDataURL())"
        )
        assert first != second


def shown_value(page: Any, layer: str, action: Callable[[], Any]) -> dict[str, str]:
    """What the panel shows of a value of a layer, after an action that selects it."""
    page.evaluate("delete document.getElementById('inspector-value').dataset.layer")
    action()
    script = "layer => document.getElementById('inspector-value').dataset.layer === layer"
    page.wait_for_function(script, arg=layer)
    return dict(page.evaluate("({...document.getElementById('inspector-value').dataset})"))


def check_probability(page: Any, bar: Any) -> dict[str, str]:
    """A bar of the answer leads to its calculation, which gives its probability."""
    shown = shown_value(page, "probabilities", bar.locator("button").click)
    assert shown["index"] == bar.get_attribute("data-index")
    probability = float(bar.get_attribute("data-probability"))
    assert abs(float(shown["value"]) - probability) < 1e-6
    assert abs(float(shown["calculated"]) - probability) < 1e-6
    return shown


def test_the_answer_follows_from_the_last_layer(gray: Any, runs: tuple[cn.Run, cn.Run], sites: Path) -> None:
    last = json.loads((sites / "gray" / "site.json").read_text())["networks"][0]["layers"][-1]
    after_run(gray, gray.locator("#example-list button").first.click)
    place = gray.evaluate("scrollY")
    shown = check_probability(gray, gray.locator(".bars li").nth(1))
    assert gray.evaluate("scrollY") == place
    assert gray.locator("#explanation .shares tbody tr").count() == len(runs[0].classes)
    name = runs[0].classes[int(shown["index"])]
    assert gray.inner_text("#inspector-title").endswith(f"({name})")
    logit = shown_value(gray, last["output"], gray.locator("#explanation .link", has_text=last["name"]).click)
    assert logit["index"] == shown["index"] and gray.inner_text("#inspector-title").endswith(f"({name})")
    shown_value(gray, "probabilities", gray.locator(".then .link").click)
    for layer in (last["output"], "probabilities"):  # with the names of the classes
        assert gray.locator(f'[data-output="{layer}"] .class-names li').all_text_contents() == [*runs[0].classes]


def test_says_whether_an_answer_is_right(gray: Any, runs: tuple[cn.Run, cn.Run]) -> None:
    grades = set()
    buttons = gray.locator("#example-list button")
    for number in range(buttons.count()):
        button = buttons.nth(number)
        after_run(gray, button.click)
        truth, best = button.get_attribute("data-class"), gray.inner_text(".headline")
        grade, symbol = ("right", "✓") if best == truth else ("wrong", "✗")
        assert gray.inner_text(f".verdict .{grade}") == f"{symbol} {grade}: it is “{truth}”"
        assert button.locator(".marks").inner_text() == symbol
        assert button.get_attribute("aria-label") == f"Example: {truth}, answered {grade}"
        grades.add(grade)
        first, second = list(probabilities(gray).values())[:2]
        assert (gray.locator(".verdict .unsure").count() == 1) == (first - second < 0.1)
        assert gray.inner_text("#inspector-answer") == f"{best} {gray.locator('.probability').first.inner_text()}"
        if len(grades) == 2:
            break
    after_run(gray, lambda: draw(gray))
    assert gray.locator(".verdict .right, .verdict .wrong").count() == 0
    assert f"(chance: {1 / len(runs[0].classes):.1%})" in gray.inner_text("#subtitle")


def test_calculates_temperatures_and_log_softmax(opened: Open, sites: Path) -> None:
    place = sites / "temperature"
    shutil.copytree(sites / "gray", place)
    site = json.loads((place / "site.json").read_text())
    (facts,) = site["networks"]
    epoch = {"epoch": 3, "file": facts["file"], "validation_accuracy": 0.5, "loss": 0.25}
    site["networks"] = [
        facts | {"temperature": 2.5, "epochs": [epoch]},
        facts | {"file": "networks/1.onnx", "name": "logarithms"},
    ]
    (place / "site.json").write_text(json.dumps(site))
    scaled, logarithms = (onnx.load(place / "networks/0.onnx") for _ in range(2))
    nodes = scaled.graph.node  # as the export writes a temperature
    (end,) = (node for node in nodes if [*node.output] == ["probabilities"])
    scaled.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1 / 2.5, np.float32), "factor"))
    nodes.insert([*nodes].index(end), onnx.helper.make_node("Mul", ["logits", "factor"], ["scaled"]))
    (end,) = (node for node in nodes if [*node.output] == ["probabilities"])
    end.input[0] = "scaled"
    onnx.save(scaled, place / "networks/0.onnx")
    nodes = logarithms.graph.node  # a function after the last layer
    (end,) = (node for node in nodes if [*node.output] == ["logits"])
    end.output[0] = "raw"
    for node in nodes:
        node.input[:] = ["raw" if name == "logits" and node.op_type == "Identity" else name for name in node.input]
    nodes.insert([*nodes].index(end) + 1, onnx.helper.make_node("LogSoftmax", ["raw"], ["logits"], axis=1))
    onnx.save(logarithms, place / "networks/1.onnx")

    page = opened("temperature")
    after_run(page, page.locator("#example-list button").first.click)
    assert len(page.locator("#example-list .marks").first.inner_text()) == 2  # one for each network
    assert page.locator(".epochs output").inner_text() == (
        "Epoch 3, final weights, validation accuracy 50.0%, training loss 0.250"
    )
    assert page.get_attribute(".epochs input", "max") == "0"
    first, second = page.locator(".answer").all()
    check_probability(page, first.locator(".bars li").nth(1))
    assert "The temperature of this run, 2.500" in page.inner_text("#explanation")
    check_probability(page, second.locator(".bars li").nth(1))
    assert "logarithms of probabilities" in page.inner_text("#explanation")
    last = facts["layers"][-1]["name"]
    assert page.locator("#explanation .link", has_text=last).count() == 0  # its values are not the logits


def is_uncovered(page: Any, x: float, y: float) -> bool:
    return bool(page.evaluate("([x, y]) => Boolean(document.elementFromPoint(x, y).closest('.maps'))", [x, y]))


def check_sweep(page: Any, plane: int) -> None:
    """A button moves over the values of a channel by itself, until a key is pressed."""
    index = "Number(document.getElementById('inspector-value').dataset.index)"
    start, button = page.evaluate(index), page.locator(".sweep")
    said = page.inner_text("#status")
    button.click()
    page.wait_for_function(f"start => {index} > start + 1", arg=start)
    assert button.inner_text() == "Stop"
    now = page.inner_text("#status")
    assert now == said or "=" not in now  # none of the many values is announced
    page.keyboard.press("Control")
    assert button.inner_text() == "Move over all values"
    shown_value(
        page,
        page.evaluate("document.getElementById('inspector-value').dataset.layer"),
        lambda: page.locator("#enlarged .choosable").press("End"),
    )
    button.press("Enter")
    page.wait_for_function(f"last => {index} < last", arg=2 * plane - 1)  # the first one follows the last one
    button.press("Enter")
    assert button.inner_text() == "Move over all values"


def test_chooses_values_in_an_enlarged_map(gray: Any, sites: Path) -> None:
    layers = json.loads((sites / "gray" / "site.json").read_text())["networks"][0]["layers"]
    names = [layer["output"] for layer in layers]
    conv = next(layer for layer in layers if layer["type"] == "conv")
    _, height, width = conv["shape"]
    maps = gray.locator(f'[data-output="{conv["output"]}"] .maps')
    maps.scroll_into_view_if_needed()
    box, place = maps.bounding_box(), gray.evaluate("scrollY")
    shown = shown_value(gray, conv["output"], lambda: gray.mouse.click(box["x"] + 9, box["y"] + 9))
    assert int(shown["index"]) < height * width  # in the first channel
    assert gray.evaluate("scrollY") == place and is_uncovered(gray, box["x"] + 9, box["y"] + 9)
    enlarged = gray.locator("#enlarged .choosable")
    box = enlarged.bounding_box()
    assert box["width"] > 200
    corner = (box["x"] + box["width"] - 3, box["y"] + 3)
    assert shown_value(gray, conv["output"], lambda: gray.mouse.click(*corner))["index"] == str(width - 1)
    enlarged.focus()
    shown = shown_value(gray, conv["output"], lambda: gray.keyboard.press("ArrowDown"))
    assert shown["index"] == str(2 * width - 1)
    shown = shown_value(gray, conv["output"], lambda: gray.keyboard.press("PageDown"))
    assert shown["index"] == str(height * width + 2 * width - 1)
    assert gray.evaluate("document.activeElement.className") == "framed choosable"
    maps.focus()  # whose keys start from the value that is shown
    assert shown_value(gray, conv["output"], lambda: gray.keyboard.press("ArrowLeft"))["index"] == str(
        height * width + 2 * width - 2
    )
    check_sweep(gray, height * width)
    following = names[names.index(conv["output"]) + 1]
    shown_value(gray, following, gray.locator("#next").click)
    shown_value(gray, conv["output"], gray.locator("#previous").click)
    maps.focus()
    shown_value(gray, following, lambda: gray.keyboard.press("Shift+ArrowRight"))
    assert gray.evaluate("document.activeElement.closest('[data-output]').dataset.output") == following
    shown_value(gray, conv["output"], lambda: gray.keyboard.press("Shift+ArrowLeft"))
    gray.keyboard.press("Escape")


def test_outlines_what_is_pointed_at_while_a_value_is_kept(gray: Any) -> None:
    maps = gray.locator(".layer.type-conv .maps").first
    maps.scroll_into_view_if_needed()
    box = maps.bounding_box()
    gray.mouse.click(box["x"] + 9, box["y"] + 9)
    gray.wait_for_selector("#inspector.kept")
    assert gray.inner_text("#kept") == "Kept"
    gray.wait_for_timeout(50)
    outline = "[...document.querySelectorAll('.layer .overlay')].map(canvas => canvas.toDataURL())"
    kept, title = gray.evaluate(outline), gray.inner_text("#inspector-title")
    gray.mouse.move(box["x"] + 20, box["y"] + 20)
    assert gray.evaluate(outline) != kept and gray.inner_text("#inspector-title") == title
    gray.mouse.move(box["x"] - 20, box["y"] - 200)
    assert gray.evaluate(outline) == kept
    gray.keyboard.press("Escape")
    assert not gray.is_visible("#kept")


def test_calculation_has_the_numbers_in_words(gray: Any) -> None:
    maps = gray.locator(".layer.type-conv .maps").nth(1)
    maps.focus()
    gray.keyboard.press("PageDown")
    gray.wait_for_selector("#inspector.kept .channels")
    assert "Multiply each number" in gray.inner_text("#inspector-body")
    assert gray.locator("#inspector-body .grid").count() == 2
    gray.locator(".channels button").nth(2).click()
    gray.wait_for_function("() => document.querySelectorAll('.channels [aria-pressed=true]').length === 1")
    assert "input channel 2" in gray.inner_text("#inspector-body")
    gray.keyboard.press("Escape")
    assert gray.locator("#inspector.kept").count() == 0


def test_speaks_both_languages_and_switches_colors(gray: Any) -> None:
    assert gray.inner_text("#answer-title") == "Answer"
    gray.click("#language")
    assert gray.inner_text("#answer-title") == "预测" and gray.get_attribute("html", "lang") == "zh-CN"
    assert "卷积" in gray.inner_text(".strip")
    assert (
        gray.eval_on_selector_all("[data-text]", "all => all.filter(e => !e.textContent).map(e => e.dataset.text)")
        == []
    )
    gray.click("#language")
    background = "getComputedStyle(document.body).backgroundColor"
    light = gray.evaluate(background)
    gray.click("#theme")
    assert gray.evaluate(background) != light
    gray.click("#theme")
    assert gray.evaluate(background) == light


LATIN = """() => {
  const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { parentElement: parent, textContent: text } = walker.currentNode;
    if (!parent.closest("script, style, noscript, math, #language")) texts.push(text);
  }
  for (const element of document.querySelectorAll("*"))
    for (const name of ["aria-label", "title", "aria-valuetext"]) texts.push(element.getAttribute(name) ?? "");
  return texts.filter((text) => /[A-Za-z]{3}/.test(text) && !/[\\u4e00-\\u9fff]/.test(text));
}"""


def test_the_address_chooses_chinese_everywhere(opened: Open, address: str, sites: Path) -> None:
    page = opened(f"{address}/color/?lang=zh")
    assert page.get_attribute("html", "lang") == "zh-CN"
    (network,) = json.loads((sites / "color" / "site.json").read_text())["networks"]
    names = {network["name"], *network["classes"], *(layer["name"] for layer in network["layers"])}
    names |= {"softmax", "ReLU", "leaky ReLU", "GELU", "logit", "exp(logit)"}
    for layer in page.eval_on_selector_all("[data-output]", "all => all.map(item => item.dataset.output)"):
        page.locator(f'[data-output="{layer}"] .maps').focus()
        page.keyboard.press("ArrowDown")
        page.wait_for_function("layer => document.querySelector('#inspector-value').dataset.layer === layer", arg=layer)
        others = {text.strip(" （）") for text in page.evaluate(LATIN)} - names
        assert {text for text in others if not re.fullmatch(r"\S+ \d+\.\d%", text)} == set(), layer
    page.click("#language")
    assert page.url.endswith("?lang=en") and page.get_attribute("html", "lang") == "en"


def test_what_went_wrong_is_said_in_the_language_that_is_chosen(opened: Open, tmp_path: Path) -> None:
    page = opened("gray")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    page.set_input_files("#file", tmp_path / "broken.png")
    page.wait_for_selector("#notice:not([hidden])")
    page.click("#language")
    assert "broken.png 不是" in page.inner_text("#notice")


def violations(page: Any) -> list[str]:
    """What axe-core finds, as rule and element."""
    if not AXE.is_file():
        pytest.skip("needs axe-core (make web-check)")
    page.evaluate(AXE.read_text("utf-8"))
    result = page.evaluate("axe.run()")
    return [f"{rule['id']}: {node['html'][:120]}" for rule in result["violations"] for node in rule["nodes"]]


def test_is_accessible(gray: Any, color: Any) -> None:
    assert violations(gray) == [] and violations(color) == []


def test_phone_in_the_dark(opened: Open) -> None:
    phone = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    page = opened("color", color_scheme="dark", locale="zh-CN", reduced_motion="reduce", **phone)
    end = page.locator("#inspector").bounding_box()["y"]
    for part in ("#drawing", ".headline", ".bars li:first-child"):  # on the first screen, above the panel
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= end, part
    assert page.locator(".layer .maps:visible").count() == 0 and page.locator(".layer-shape:visible").count() == 14
    shown, classes = (
        page.locator("#example-list li:visible"),
        page.eval_on_selector_all(
            "#example-list button", "all => new Set(all.map(button => button.dataset.class)).size"
        ),
    )
    assert shown.count() == classes
    page.tap("#more-examples")
    assert page.get_attribute("#more-examples", "aria-expanded") == "true" and shown.count() > classes
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= 360
    assert page.is_visible(".with-finger") and not page.is_visible(".with-pointer")
    assert page.get_attribute("html", "lang") == "zh-CN"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(int(part) for part in re.findall(r"\d+", background)) < 150
    for layer in page.eval_on_selector_all("[data-output]", "all => all.map(item => item.dataset.output)"):
        page.locator(f'[data-output="{layer}"] .opener').press("Enter")
        page.locator(f'[data-output="{layer}"] .maps').focus()
        page.keyboard.press("ArrowDown")
        page.wait_for_function("layer => document.querySelector('#inspector-value').dataset.layer === layer", arg=layer)
        assert page.evaluate(width) <= 360, layer
        right = "[...document.querySelectorAll('.result')].map(result => result.getBoundingClientRect().right)"
        assert all(place <= 344 for place in page.evaluate(right)), layer
    for place in (150, 560):  # in the upper half and in the lower half of the window
        page.locator("#toggle").tap()
        maps = page.locator(".layer.type-conv .maps").first
        maps.evaluate("(maps, place) => scrollBy(0, maps.getBoundingClientRect().top - place)", place)
        box, scrolled = maps.bounding_box(), page.evaluate("scrollY")
        page.touchscreen.tap(box["x"] + 20, box["y"] + 20)
        page.wait_for_selector("#inspector.kept.open .grid")
        page.evaluate("new Promise(requestAnimationFrame)")
        assert page.evaluate("scrollY") == scrolled and is_uncovered(page, box["x"] + 20, box["y"] + 20)
        panel, sentence = page.locator("#inspector").bounding_box(), page.locator(".sentence").first.bounding_box()
        assert sentence["y"] + sentence["height"] < panel["y"] + panel["height"]  # the calculation is in sight
    before, layer = page.evaluate(
        "(({index, layer}) => [index, layer])(document.getElementById('inspector-value').dataset)"
    )
    step = page.locator(".sweep", has_text="下一个数值")  # nothing moves by itself
    assert int(shown_value(page, layer, step.tap)["index"]) == int(before) + 1
    assert violations(page) == []


def test_works_with_the_keyboard_only(gray: Any) -> None:
    after_run(gray, lambda: gray.click("#clear"))
    for _ in range(8):
        gray.keyboard.press("Shift+Tab")
        if gray.evaluate("document.activeElement.id") == "drawing":
            break
    assert gray.evaluate("document.activeElement.id") == "drawing"
    gray.keyboard.press("Space")
    for _ in range(4):
        gray.keyboard.press("ArrowDown")
    after_run(gray, lambda: gray.keyboard.press("ArrowLeft"))
    assert len(probabilities(gray)) > 0


def test_bad_images_are_named_and_the_rest_works(gray: Any, runs: tuple[cn.Run, cn.Run], tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    gray.set_input_files("#file", tmp_path / "broken.png")
    gray.wait_for_selector("#notice:not([hidden])")
    assert "broken.png" in gray.inner_text("#notice")
    gray.evaluate("document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: new DataTransfer()}))")
    assert "no image" in gray.inner_text("#notice")
    gray.click("#webcam")
    gray.wait_for_function("() => document.getElementById('notice').textContent.includes('camera')")
    images()["tall"].save(tmp_path / "good.png")
    upload(gray, tmp_path / "good.png")
    assert not gray.is_visible("#notice")
    check_equal(gray, runs[0], tmp_path / "good.png")


def test_two_networks_in_a_single_file_from_disk(opened: Open, sites: Path) -> None:
    page = opened((sites / "both.html").as_uri())
    assert page.locator(".network").count() == 2 and page.locator(".headline").count() == 2
    assert all(text not in ("", "–") for text in page.locator(".headline").all_inner_texts())


def test_says_what_is_missing(opened: Open, sites: Path, tmp_path: Path) -> None:
    without = opened("gray", wait=False, script="delete window.WebAssembly")
    without.wait_for_selector("#notice:not([hidden])")
    assert "WebAssembly" in without.inner_text("#notice") and without.locator(".layer").count() > 5

    from_disk = opened((sites / "gray" / "index.html").as_uri(), wait=False)
    from_disk.wait_for_selector("#notice:not([hidden])")
    assert "--single-file" in from_disk.inner_text("#notice")

    for name, content, sentence in (
        ("runtime.wasm.gz", b"damaged", "runtime.wasm.gz is missing or damaged"),
        ("networks/0.onnx", b"damaged", "networks/0.onnx could not be loaded"),
        ("networks/0.onnx", None, "networks/0.onnx is missing"),
        ("site.json", b"{}", "site.json does not fit this page"),
    ):
        copy = sites / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(sites / "gray", copy)
        (copy / name).unlink()
        if content is not None:
            (copy / name).write_bytes(content)
        page = opened("copy", wait=False)
        page.wait_for_selector("#notice:not([hidden])")
        assert sentence in page.inner_text("#notice")


@pytest.fixture(scope="module")
def varied(opened: Open, sites: Path) -> Any:
    """The page of the gray network with two epochs, of which one is missing, a confidence, and a crop."""
    copy = sites / "epochs"
    shutil.copytree(sites / "gray", copy)
    model = onnx.load(copy / "networks/0.onnx")
    for tensor in model.graph.initializer:
        if tensor.name.startswith("weights/"):
            zeros = np.zeros(tensor.dims, np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
    onnx.save(model, copy / "networks/0-epoch-1.onnx")
    site = json.loads((copy / "site.json").read_text())
    site["networks"][0]["epochs"] = [
        {"epoch": 1, "file": "networks/0-epoch-1.onnx", "validation_accuracy": 0.1, "loss": 2.3},
        {"epoch": 2, "file": "networks/gone.onnx", "validation_accuracy": None, "loss": None},
    ]
    site["networks"][0]["min_confidence"] = 1.01
    site["networks"][0]["preprocess"]["fit"] = "crop"
    site["networks"][0]["layers"][2]["sources"] = []
    (copy / "site.json").write_text(json.dumps(site))
    return opened("epochs")


def test_epochs_and_the_smallest_confidence(varied: Any) -> None:
    page, final = varied, probabilities(varied)
    assert page.inner_text(".headline") == "unknown" and len(final) > 0
    assert page.inner_text(".epochs output").startswith("Final weights, test accuracy ")
    assert "final weights: " in page.inner_text("#subtitle") + page.inner_text(".network-head")
    assert page.locator("#example-list .marks").count() == 1 and not page.is_visible("#marks-removed")
    slider = page.locator(".epochs input")
    after_run(page, lambda: slider.fill("0"))
    assert page.inner_text(".epochs output") == "Epoch 1, validation accuracy 10.0%, training loss 2.300"
    assert max(abs(value - 0.1) for value in probabilities(page).values()) < 1e-6
    assert page.is_visible("#marks-removed")
    slider.fill("1")
    page.wait_for_selector("#notice:not([hidden])")
    assert "gone.onnx is missing" in page.inner_text("#notice")
    after_run(page, lambda: slider.fill("2"))
    assert probabilities(page) == final


def test_explains_dashed_lines(varied: Any, color: Any) -> None:
    assert varied.locator(".edges .unknown").count() == 1 and "dashed line" in varied.inner_text(".network > .dashed")
    assert color.locator(".network > .dashed").count() == 0


def test_shows_what_is_cropped_away(varied: Any, tmp_path: Path) -> None:
    Image.new("RGB", (84, 28), "#204060").save(tmp_path / "wide.png")
    upload(varied, tmp_path / "wide.png")
    assert "(66.7%) is cut off" in varied.inner_text("#pad-note")
    left_edge = "[...document.getElementById('drawing').getContext('2d').getImageData(112, 112, 1, 112).data]"
    levels = varied.evaluate(left_edge)[::4]
    assert max(levels) == 255 and min(levels) < 0x20  # dashes, light and dark


def test_classifies_what_the_camera_sees(opened: Open) -> None:
    page = opened("gray", permissions=["camera"])
    before = run_count(page)
    page.click("#webcam")
    page.wait_for_function("before => Number(document.body.dataset.runs) > before + 2", arg=before)
    page.click("#webcam")
    assert page.inner_text("#webcam") == "Camera" and not page.is_visible("#notice")
    after_run(page, lambda: page.click("#undo"))  # all frames at once
    assert page.get_attribute("#undo", "aria-disabled") == "true" and "right" in page.inner_text(".answer")
