"""Copies stay on one side of automatic splits, and a fifth of each class is tested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classicnets.api.models import Run
from classicnets.audit.audit import audit_images
from classicnets.images import batches
from classicnets.images.automatic_split import key, split_off_test
from classicnets.images.loading import load
from classicnets.images.survey import survey
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Preprocess
from support.faulty import scene

ROOT = Path("data")
SMALL = Preprocess(channels=3, image_size=8)


def names(count: int, label: str = "a") -> list[Path]:
    return [ROOT / label / f"{i}.png" for i in range(count)]


@pytest.mark.parametrize(
    ("count", "tested"), [(1, 0), (2, 1), (3, 1), (5, 1), (7, 1), (8, 2), (12, 2), (36, 7), (100, 20), (101, 20)]
)
def test_about_a_fifth_of_a_class_is_tested(count: int, tested: int) -> None:
    train, test = split_off_test(ROOT, {"a": names(count)}, [])
    assert len(test["a"]) == tested and sorted(train["a"] + test["a"]) == sorted(names(count))


@given(st.dictionaries(st.sampled_from("abc"), st.integers(2, 30), min_size=1), st.data())
def test_copies_are_never_split_apart(counts: dict[str, int], data: Any) -> None:
    classes = {label: names(count, label) for label, count in counts.items()}
    images = [path for paths in classes.values() for path in paths]
    group_of = data.draw(st.lists(st.integers(0, len(images)), min_size=len(images), max_size=len(images)))
    groups = [[path for path, number in zip(images, group_of, strict=True) if number == g] for g in {*group_of}]
    copies = [[key(ROOT, path) for path in group] for group in groups if len(group) > 1]
    train, test = split_off_test(ROOT, classes, copies)
    tested = {path for paths in test.values() for path in paths}
    for label, count in counts.items():
        assert train[label] and test[label] and sorted(train[label] + test[label]) == sorted(classes[label])
        in_groups = [sum(path in classes[label] for path in group) for group in groups]
        if max(in_groups) == 1 and len({*group_of}) == len(images):
            assert len(test[label]) == min(max(1, round(count / 5)), count - 1)
    split_apart = [group for group in groups if 0 < len({*group} & tested) < len(group)]
    # only where a class has no images outside of groups that another class needs for training
    assert all(
        any(len({*classes[label]} - {*group}) < len(classes[label]) for label in classes) for group in split_apart
    )
    if len(classes) == 1 and all(len(group) <= max(1, round(len(images) / 5)) for group in groups):
        assert not split_apart


@given(st.lists(st.integers(0, 12), min_size=6, max_size=40), st.integers(0, 3))
def test_copies_are_held_out_together(groups: list[int], seed: int) -> None:
    labels = np.arange(len(groups)) % 2
    train, held_out = batches.split_indices(labels, 0.3, None, seed, np.array(groups))
    assert sorted([*train, *held_out]) == list(range(len(groups)))
    assert len(held_out) <= round(0.3 * len(groups))
    both = {groups[i] for i in train} & {groups[i] for i in held_out}
    plain = batches.split_indices(labels, 0.3, None, seed)[1]
    assert not both or [*held_out] == [*plain]  # nothing could be held out otherwise


def test_without_copies_the_held_out_images_are_as_ever() -> None:
    labels = np.arange(50) % 3
    for limit in (None, 20):
        plain = batches.split_indices(labels, 0.2, limit, 1)
        distinct = batches.split_indices(labels, 0.2, limit, 1, np.arange(50))
        for a, b in zip(plain, distinct, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 15 images; 5 of each have an exact, a recompressed or a mirrored copy."""
    root = tmp_path_factory.mktemp("copies") / "data"
    for number, name in enumerate(("leaf", "shell")):
        (root / name).mkdir(parents=True)
        for i in range(10):
            image = scene(100 * number + i)
            image.save(root / name / f"{i}.png")
            if i == 0:
                shutil.copy(root / name / "0.png", root / name / "other.png")
            elif i in {1, 2}:
                image.save(root / name / f"small{i}.jpg", quality=92)
            elif i in {3, 4}:
                image.transpose(0).save(root / name / f"mirrored{i}.png")  # type: ignore[arg-type]
    return root


def test_survey_finds_the_copies_and_says_so(copied: Path) -> None:
    notes: list[str] = []
    found = survey(copied, held_out=False, transparent=False, say=notes.append)
    assert len(found.copies) == 10 and {len(group) for group in found.copies} == {2}
    assert notes == ["data: 10 groups of copies (20 images) stay on one side of the split"]
    data = load(str(copied), SMALL, copies=found.copies, say=lambda _: None)
    side = {Path(file.path).with_suffix("").as_posix(): file.split for file in data.files}
    for name in ("leaf", "shell"):
        pairs = [("0", "other"), ("1", "small1"), ("2", "small2"), ("3", "mirrored3"), ("4", "mirrored4")]
        assert all(side[f"{name}/{a}"] == side[f"{name}/{b}"] for a, b in pairs)
        assert sum(side[path] == "test" for path in side if path.startswith(name)) == 3
    report = audit_images(copied)  # reads the same split
    assert not [finding for finding in report.findings if finding.topic == "leak"]
    assert {name: counts["test"] for name, counts in report.counts.items()} == {"leaf": 3, "shell": 3}


def test_a_run_keeps_its_split(copied: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "image_size": 28, "validation": 0.2}
    spec = run_spec("lenet_d2l", data=str(copied), recipe="fast", settings=settings)
    session = Session.start(plan(*spec), lambda _: None, Output(runs=str(tmp_path / "r")))
    facts, first = session.folder.read(), (session.folder.path / "split.csv").read_text()
    assert len(facts["copies"]) == 10
    rows = {row.split(",")[0]: row.split(",")[2] for row in first.splitlines()[1:]}
    assert rows["leaf/0.png"] == rows["leaf/other.png"] and rows["shell/2.png"] == rows["shell/small2.jpg"]
    session.lock.release()
    resumed = Session.resume(session.folder.path, lambda _: None)
    np.testing.assert_array_equal(resumed.batches.labels, session.batches.labels)
    assert resumed.splits.fingerprint == session.splits.fingerprint
    for _event in resumed.events():
        pass
    resumed.finish()
    run = Run(session.folder.path)
    assert run.evaluate(say=lambda _: None).n == len(session.splits.test) == 6


def test_a_run_of_version_0_1_keeps_its_split(copied: Path, tmp_path: Path) -> None:
    """Such a run does not record copies: its test images are those below a fifth of all hashes."""
    spec = run_spec("lenet_d2l", data=str(copied), recipe="fast", settings={"epochs": 1, "image_size": 28})
    session = Session.start(plan(*spec), lambda _: None, Output(runs=str(tmp_path / "r")))
    old = load(str(copied), session.plan.preprocess, copies=None, say=lambda _: None)
    facts = json.loads((session.folder.path / "run.json").read_text())
    del facts["copies"]
    session.folder.write({**facts, "fingerprint": old.fingerprint})
    session.lock.release()
    resumed = Session.resume(session.folder.path, lambda _: None)
    assert [*resumed.splits.test.labels] == [*old.test.labels]
    assert old.fingerprint != session.splits.fingerprint
