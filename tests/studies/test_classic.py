"""Classical methods: features by hand, the images of a network's run, results that threads do not change, errors."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from classicnets import machine
from classicnets.datasets.types import Split
from classicnets.errors import DataError, MachineError, UsageError
from classicnets.evaluation import metrics
from classicnets.images import loading
from classicnets.recipes import resolve
from classicnets.spec import run_spec
from classicnets.studies import classic
from classicnets.studies.classic import ClassicRun
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.classifiers import CLASSIFIERS
from classicnets.studies.features import FEATURES, MIN_HOG_SIZE, ORIENTATIONS, Floats, hog, pixels
from classicnets.training import begin
from classicnets.training.plan import plan
from support.idx import make_idx_folder
from support.images import make_image_folder

MEASURED = ("fit_seconds", "predict_seconds")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_idx_folder(tmp_path_factory.mktemp("data"), train=120, test=40, size=12)


def no_notes(line: str) -> None:
    raise AssertionError(line)


def fitted(folder: Path, **arguments: Any) -> dict[str, Any]:
    classic.fill(folder, ClassicSpec(**arguments))
    return classic.fit(ClassicRun(folder), no_notes)


def flat(split: Split) -> Floats:
    """The pixels of all images in 0..1."""
    return split.images[:].reshape(len(split), -1).astype(np.float32) / np.float32(255)


def same_results(facts: dict[str, Any]) -> dict[str, Any]:
    """The result without its times."""
    return {key: value for key, value in facts["result"].items() if key not in MEASURED}


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_every_method_learns_and_writes_its_facts(
    classifier: str, features: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = fitted(tmp_path, classifier=classifier, features=features, data=str(data))
    result = facts["result"]
    assert result["test_accuracy"] > 0.8 and result["train_accuracy"] > 0.9  # ten classes
    assert result["n"] == 40 == sum(map(sum, result["confusion"]))
    assert result["test_accuracy"] == sum(result["confusion"][i][i] for i in range(10)) / 40
    assert (result["test_loss"] is not None) == CLASSIFIERS[classifier].has_probabilities
    assert facts["train_images"] == 120 and facts["machine"]["versions"]["scikit-learn"]
    assert facts["parameters"]["class"] == CLASSIFIERS[classifier].name
    # A folder with a result is not fitted again.
    monkeypatch.setattr(classic, "read", no_notes)
    assert classic.fit(ClassicRun(tmp_path), no_notes) == ClassicRun(tmp_path).read() == facts


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_results_do_not_depend_on_threads(classifier: str, data: Path, tmp_path: Path) -> None:
    results = []
    with machine.restore_threads():
        for threads in (1, 2):
            torch.set_num_threads(threads)
            facts = fitted(tmp_path / str(threads), classifier=classifier, data=str(data), limit=100, seed=3)
            assert facts["threads"] == threads
            results.append((same_results(facts), facts["parameters"]))
    assert results[0] == results[1]


def test_seed_changes_images_and_random_methods(data: Path, tmp_path: Path) -> None:
    arguments = {"classifier": "mlp", "data": str(data), "limit": 60}
    losses = [fitted(tmp_path / str(seed), seed=seed, **arguments)["result"]["test_loss"] for seed in (-1, 2**63 - 1)]
    assert losses[0] != losses[1]


@pytest.mark.parametrize("settings", [{}, {"validation": 0.25}])
@pytest.mark.parametrize("limit", [None, 50])
@pytest.mark.parametrize("kind", ["idx", "folder"])
def test_images_are_those_of_a_network(
    kind: str, limit: int | None, settings: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    """Also with copies in a folder, which stay on one side of its automatic split."""
    if kind == "folder":
        data = make_image_folder(tmp_path / "images", per_class=30, size=12)
        for i in range(4):
            first = next((data / "cat").iterdir())
            (data / "cat" / f"copy-{i}{first.suffix}").write_bytes(first.read_bytes())
    base: dict[str, Any] = {"data": str(data), "limit": limit, "seed": 5}
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(10 if kind == "idx" else 3))
    resolved = plan(*run_spec(flat, **base, **settings, recipe="fast", monitor="none", mean=0.5, std=0.5))
    resolved = begin.survey(resolved, lambda _: None)
    resolved = replace(resolved, recipe=replace(resolved.recipe, validation=settings.get("validation", 0.0)))
    spec = ClassicSpec(classifier="linear_svm", **base, **settings)
    splits, preprocess = classic.read(spec, lambda _: None)
    of_network = begin.read(resolved, lambda _: None)
    indices, _validation = begin.training_and_validation(of_network, resolved)
    train = classic.training_images(spec, splits)
    assert np.array_equal(train.images[:], of_network.train.images[indices])
    assert np.array_equal(train.labels, of_network.train.labels[indices])
    assert np.array_equal(splits.test.images[:], of_network.test.images[:])
    assert splits.fingerprint == of_network.fingerprint and preprocess.shape == resolved.preprocess.shape


def test_features_have_the_size_of_the_network(data: Path) -> None:
    spec = ClassicSpec(classifier="linear_svm", data=str(data), image_size=20)
    splits, preprocess = classic.read(spec, no_notes)
    assert classic._features(splits.test, preprocess, pixels).shape == (40, 400)


def test_hog_of_an_edge_by_hand() -> None:
    """A vertical edge within a cell: its gradient is horizontal, between the last orientation and the first."""
    images = np.zeros((2, 1, 8, 8), np.float32)
    images[0, :, :, 2:] = 1
    values = hog(images).reshape(2, 4, ORIENTATIONS)
    votes = np.zeros((4, ORIENTATIONS))
    votes[[0, 2], 0] = votes[[0, 2], -1] = 4  # in the left cells: two columns of four pixels with magnitude 1, halved
    normalized = votes / np.sqrt((votes**2).sum())
    assert normalized.max() == 0.5  # so it is clipped
    clipped = np.minimum(normalized, 0.2)
    assert values[0] == pytest.approx(clipped / np.sqrt((clipped**2).sum()), abs=1e-5)
    assert not values[1].any()  # an empty image


@pytest.mark.parametrize("angle", [0, 10, 45, 90, 130, 170])
def test_hog_divides_a_vote_between_the_two_nearest_orientations(angle: int) -> None:
    """A ramp in one direction: each inner pixel votes for the bins, 20 degrees wide, whose centers are around it."""
    rows, columns = np.mgrid[:56, :56] / 200
    radians = np.radians(angle)
    ramp = (np.cos(radians) * columns + np.sin(radians) * rows)[None, None].astype(np.float32)
    values = hog(np.concatenate([ramp, -ramp]))
    assert values[0] == pytest.approx(values[1], abs=1e-5)  # the direction is unsigned
    cell = values[0].reshape(6, 6, 4, ORIENTATIONS)[2, 2, 0]
    position = angle / 20 - 0.5
    low, share = int(np.floor(position)), position % 1
    expected = np.zeros(ORIENTATIONS)
    expected[low % ORIENTATIONS] += 1 - share
    expected[(low + 1) % ORIENTATIONS] += share
    expected = np.minimum(expected / np.sqrt(4 * (expected**2).sum()), 0.2)
    assert cell == pytest.approx(expected / np.sqrt(4 * (expected**2).sum()), abs=1e-3)


def test_hog_ignores_contrast_and_takes_the_strongest_channel() -> None:
    gray: Floats = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    assert hog(gray).shape == (3, 1296)
    assert hog(gray / np.float32(2) + np.float32(0.25)) == pytest.approx(hog(gray), abs=1e-3)
    assert np.array_equal(hog(np.concatenate([gray / np.float32(2), gray, np.zeros_like(gray)], axis=1)), hog(gray))
    assert [hog(np.ones((1, 1, size, size), np.float32)).shape[1] for size in (8, 30, 32, 64, 224)] == [
        36,
        1296,
        49 * 36,
        1296,
        1296,
    ]


def test_gamma_is_a_multiple_of_that_of_scikit_learn(data: Path) -> None:
    train = loading.load(str(data)).train
    x = flat(train)
    ours = CLASSIFIERS["svm_rbf"].fit("pixels", x, train.labels, seed=0, gamma=1.0)
    theirs = machine.require("sklearn.svm", extra="classic").SVC(C=ours[-1].C, gamma="scale").fit(x, train.labels)
    assert ours.decision_function(x) == pytest.approx(theirs.decision_function(x), rel=1e-4)


def test_losses_are_those_of_the_probabilities(data: Path, tmp_path: Path) -> None:
    facts = fitted(tmp_path, classifier="logistic_regression", data=str(data))
    spec = ClassicSpec(**facts["spec"])
    splits, _preprocess = classic.read(spec, no_notes)
    train, test = (flat(split) for split in (splits.train, splits.test))
    model = CLASSIFIERS["logistic_regression"].fit("pixels", train, splits.train.labels, seed=0)
    expected = metrics.measure(model.predict_proba(test), splits.test.labels)
    assert facts["result"]["test_loss"] == pytest.approx(expected.loss, rel=1e-6)
    assert facts["result"]["test_accuracy"] == expected.accuracy


def test_classes_without_training_images_are_never_predicted(tmp_path: Path) -> None:
    data = make_idx_folder(tmp_path / "data", train=40, test=10, size=12)
    facts = fitted(tmp_path / "run", classifier="mlp", data=str(data), limit=10, seed=1)
    present = set(
        classic.training_images(
            ClassicSpec(**facts["spec"]), classic.read(ClassicSpec(**facts["spec"]), no_notes)[0]
        ).labels
    )
    assert len(present) < 10
    assert all(row[i] == 0 for row in facts["result"]["confusion"] for i in set(range(10)) - present)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"classifier": "svm_rdf"}, "did you mean 'svm_rbf'?"),
        ({"classifier": "perceptron_1957"}, "there is no classifier 'perceptron_1957'"),
        ({"classifier": None}, "there is no classifier None"),
        ({"features": "hogs"}, "did you mean 'hog'?"),
        ({"limit": 0}, "--limit 0"),
        ({"limit": "many"}, "--limit must be an integer"),
        ({"seed": 1.5}, "--seed must be an integer"),
        ({"on_bad_image": "guess"}, "--on-bad-image must be fail or skip"),
        ({"validation": 1.0}, "below 1"),
        ({"validation": True}, "below 1"),
        ({"image_size": "large"}, "from 1 to"),
        ({"image_size": MIN_HOG_SIZE - 1, "features": "hog"}, f"from {MIN_HOG_SIZE} to"),
    ],
)
def test_wrong_values_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ClassicSpec(**{"classifier": "svm_rbf", "data": "mnist", **arguments})
    assert caught.value.code == "CN204" and words in str(caught.value) and caught.value.hints


def test_options_that_do_not_fit_the_data_are_refused(tmp_path: Path) -> None:
    data = str(make_idx_folder(tmp_path, train=20, test=10, size=6))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"limit": 5}, "at least 10"),
        ({"validation": 0.9}, "holds out"),
        ({"on_bad_image": "skip"}, "no effect"),
        ({"features": "hog"}, "at least 8x8 pixels"),
    ]
    for arguments, words in refused:
        with pytest.raises(UsageError, match=words) as caught:
            classic.read(ClassicSpec(**{"classifier": "svm_rbf", "data": data, **arguments}), no_notes)
        assert caught.value.code == "CN204"
    with pytest.raises(DataError):
        classic.read(ClassicSpec(classifier="svm_rbf", data="./nowhere"), no_notes)


@pytest.mark.parametrize(("classes", "limit"), [(2, 9), (1, 20)])
def test_too_few_images_or_classes_are_refused(classes: int, limit: int, tmp_path: Path) -> None:
    data = make_idx_folder(tmp_path / "data", train=30, test=10, size=12, classes=classes)
    with pytest.raises(UsageError, match="at least 10 training images, of two classes") as caught:
        fitted(tmp_path / "run", classifier="nearest_neighbors", features="hog", data=str(data), limit=limit)
    assert caught.value.code == "CN204"
    assert CLASSIFIERS["nearest_neighbors"].chosen["hog"]["n_neighbors"] < 10


def test_arguments_of_a_study_become_a_spec() -> None:
    arguments = {"net": "lenet_5", "classifier": "mlp", "data": "mnist", "settings": {"validation": 0.1, "lr": 0.3}}
    spec = ClassicSpec.from_arguments({**arguments, "epochs": 3, "limit": 100}, seed=4)
    assert spec == ClassicSpec(classifier="mlp", data="mnist", limit=100, validation=0.1, seed=4)
    assert ClassicSpec(**asdict(spec)) == spec and spec.with_seed(0).seed == 0


def test_preset_has_every_method_and_compares_arms_that_it_has() -> None:
    study = tomllib.loads((Path(classic.__file__).parent / "presets" / "baselines.toml").read_text(encoding="utf-8"))
    arms = {name: study["base"] | arm for name, arm in study["arms"].items()}
    specs = [ClassicSpec.from_arguments(arm, seed=0) for arm in arms.values() if "classifier" in arm]
    assert {(spec.classifier, spec.features) for spec in specs} == {(c, f) for c in CLASSIFIERS for f in FEATURES}
    assert {(spec.limit, spec.validation, spec.data) for spec in specs} == {(2_000, 0.05, "fashion_mnist")}
    assert all(set(comparison["arms"]) <= set(arms) for comparison in study["compare"])
    recipe = resolve.find(study["base"]["recipe"], study["base"]["net"], registered=True)
    assert recipe.validation == study["base"]["settings"]["validation"]  # so that all have the same images


def test_changed_files_are_refused(data: Path, tmp_path: Path) -> None:
    run = ClassicRun(tmp_path)
    classic.fill(tmp_path, ClassicSpec(classifier="svm_rbf", data=str(data)))
    content = run.file.read_text()
    for changed in (content.replace('"seed": 0', '"seed": 1'), content[:-9], content.replace('"seed"', '"sead"')):
        run.file.write_text(changed)
        with pytest.raises(UsageError) as caught:
            run.read()
        assert caught.value.code == "CN207"
    run.file.write_text(content.replace('"seed": 0', '"seed": 1'))
    assert ClassicRun(tmp_path, trust=True).spec().seed == 1


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MachineError) as caught:
        classic.fill(tmp_path, ClassicSpec(classifier="svm_rbf", data="mnist"))
    assert caught.value.code == "CN403" and caught.value.hints == ("pip install 'classicnets[classic]'",)


def test_process_writes_the_result_that_this_one_does(data: Path, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"classifier": "linear_svm", "features": "hog", "data": str(data)}
    here = fitted(tmp_path / "here", **arguments)
    classic.fill(tmp_path / "there", ClassicSpec(**arguments))
    command = [sys.executable, "-P", "-m", "classicnets.studies.classic", str(tmp_path / "there")]
    process = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")
    assert same_results(ClassicRun(tmp_path / "there").read()) == same_results(here)


def test_process_says_errors_with_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert classic.main([]) == 2
    assert "error[CN206]" in capsys.readouterr().err
    assert classic.main([str(tmp_path / "none")]) == 2
    assert "error[CN207]" in capsys.readouterr().err and not (tmp_path / "none").exists()
    classic.fill(tmp_path, ClassicSpec(classifier="svm_rbf", data="./nowhere"))
    assert classic.main([str(tmp_path)]) == 3
    assert "error[CN302]" in capsys.readouterr().err and "result" not in ClassicRun(tmp_path).read()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(classic, "read", interrupt)
    assert classic.main([str(tmp_path)]) == 130
    assert capsys.readouterr().err == "stopped\n"
