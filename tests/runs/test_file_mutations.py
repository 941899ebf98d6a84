"""Every damaged file is refused in our words, or gives the same answers as the intact one."""

from __future__ import annotations

import json
import math
import random
import resource
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import classicnets as cn
from classicnets.errors import ClassicnetsError, DataError
from classicnets.evaluation import exported
from classicnets.runs import history
from classicnets.runs.folder import RunFolder
from classicnets.studies import classic
from classicnets.studies.classic import ClassicRun
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.folder import StudyFolder
from support.idx import make_idx_folder
from support.mutations import mutant_count, mutants

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 1, 28, 28), np.uint8)
NAMES = ["run.json", "best.safetensors", "float.onnx", "int8.onnx", "program.pt2", "study.json", "history.jsonl"]
NAMES += ["trained_images.json", "classic.json"]
JSON_NAMES = ["run.json", "study.json", "trained_images.json", "classic.json"]
EXTREME: list[Any] = [
    None, True, -1, 1e308, 2**63, 10**30, 100_000, math.nan, math.inf, "", "64", "\x1b[31m", "../../x", "x" * 99_999,
    [], {}, [[[]]], [0] * 10_000, {"a": {"b": 1}},
]  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A folder with a file of each kind, and the answers of the intact files."""

    folder: Path

    def answers(self, name: str) -> Any:
        """What the file answers. Raises ClassicnetsError if it is refused."""
        if name in {"run.json", "best.safetensors"}:
            run = cn.load(self.folder / "run", device="cpu")
            return run.classes, run.predictor.probabilities(IMAGES).tolist()
        if name.endswith(".onnx"):
            file = cn.load(self.folder / name)
            return file.classes, file.predictor.probabilities(IMAGES).tolist()
        if name.endswith(".pt2"):
            return exported.read_facts(self.folder / name)
        if name == "trained_images.json":
            notes = list[str]()
            recorded = RunFolder(self.folder / "run").read_trained_images(notes.append)
            if notes:  # it is not used, or has no checksum, and the user reads so
                raise DataError("CN305", notes[0], where=name)
            return recorded
        if name == "study.json":
            return cn.Seeds(self.folder / "seeds").summary
        if name == "classic.json":
            method = ClassicRun(self.folder / "classic")
            return method.spec(), method.read()["result"]
        return history.read(self.folder / "run" / name)

    def file(self, name: str) -> Path:
        """The path of a file."""
        inside = {
            "run.json": "run",
            "trained_images.json": "run",
            "best.safetensors": "run",
            "history.jsonl": "run",
            "study.json": "seeds",
            "classic.json": "classic",
        }
        return self.folder / inside.get(name, "") / name


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory, quick_export: None) -> Subject:
    folder = tmp_path_factory.mktemp("mutations")
    options: dict[str, Any] = {"epochs": 1, "batch_size": 20, "validation": 0.2, "quiet": True, "device": "cpu"}
    data = make_idx_folder(folder / "blobs", train=40, test=20)
    run = cn.train("lenet1_1990", recipe="fast", data=str(data), runs=str(folder / "runs"), **options)
    shutil.copytree(run.path, folder / "run")
    run.export(folder / "float.onnx")
    run.export(folder / "int8.onnx", int8=True, max_loss=100.0)
    run.export(folder / "program.pt2", format="torch")
    (folder / "seeds").mkdir()
    facts = run.folder.read()
    figure = {"mean": 0.5, "sd": None, "min": 0.5, "max": 0.5}
    result: dict[str, Any] = dict.fromkeys(
        ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "seconds"), figure
    )
    result |= {"n": 1, "of": 1, "pictures": 20, "published": None, "verdict": ""}
    result["runs"] = [{"seed": 0, "folder": "seed-0", "test_accuracy": 0.5, "n": 20}]
    common = {key: facts[key] for key in ("net", "recipe", "threads")}
    StudyFolder(folder / "seeds").write(
        {"seeds": [0], "side_by_side": 1, "definition": None, "arms": {"": {}}, **common, "result": result}
    )
    classic.fill(folder / "classic", ClassicSpec(classifier="linear_svm", data=str(data)))
    classic.fit(ClassicRun(folder / "classic"), lambda _: None)
    return Subject(folder)


def check(subject: Subject, name: str, contents: Iterator[bytes]) -> dict[str, Any]:
    """Put each of the contents in the place of the file; return the numbers of what happened."""
    file = subject.file(name)
    intact = file.read_bytes()
    expected = subject.answers(name)
    report: dict[str, Any] = {"mutants": 0, "refused": 0, "equal": 0, "seconds": 0.0}
    try:
        for content in contents:
            file.write_bytes(content)
            started = time.perf_counter()
            try:
                answers = subject.answers(name)
            except ClassicnetsError as error:
                assert error.what and error.where, error
                str(error).encode()
                report["refused"] += 1
            else:
                same = answers == expected or (name == "history.jsonl" and answers == expected[: len(answers)])
                assert same or name == "history.jsonl", content[:2000]
                report["equal"] += 1
            report["mutants"] += 1
            report["seconds"] = max(report["seconds"], time.perf_counter() - started)
    finally:
        file.write_bytes(intact)
    report["memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(name, report)
    return report


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused_or_give_equal_answers(name: str, subject: Subject) -> None:
    """A history, which has no checksum, is read up to the damage."""
    count = mutant_count()
    report = check(subject, name, mutants(subject.file(name).read_bytes(), count, seed=1))
    assert report["mutants"] == count
    assert name == "history.jsonl" or report["refused"] > count // 3


def places(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys of all values in nested values."""
    inner = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in inner:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed_values(values: Any, count: int, seed: int) -> Iterator[bytes]:
    """Yield `count` documents with a missing, an added or an extreme value."""
    generator, keys = random.Random(seed), [*places(values)]
    for _number in range(count):
        copy = json.loads(json.dumps(values))
        *path, last = generator.choice(keys)
        parent = copy
        for key in path:
            parent = parent[key]
        choice = generator.randrange(10)
        if choice == 0:
            del parent[last]
        elif choice == 1 and isinstance(parent, dict):
            parent["of_a_newer_version"] = generator.choice(EXTREME)
        else:
            parent[last] = generator.choice(EXTREME)
        yield json.dumps(copy).encode()


@pytest.mark.parametrize("name", JSON_NAMES)
def test_documents_with_wrong_values_are_refused_or_give_equal_answers(name: str, subject: Subject) -> None:
    values = json.loads(subject.file(name).read_bytes())
    count = mutant_count()
    report = check(subject, name, changed_values(values, count, seed=2))
    assert report["refused"] > count // 3


@pytest.mark.parametrize("name", JSON_NAMES)
@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"seed": NaN}', b"[" * 100_000, b'{"a":' * 3000 + b"1" + b"}" * 3000,
     b'{"seed": 1, "seed": 2}', b"1" * 5000, b'{"seed": 1e999}', b'"' + b"x" * 100_000 + b'"'],
)  # fmt: skip
def test_no_documents(name: str, content: bytes, subject: Subject) -> None:
    assert check(subject, name, iter([content]))["refused"] == 1


@pytest.mark.parametrize("name", ["best.safetensors", "float.onnx", "int8.onnx", "program.pt2"])
def test_each_single_bit_counts(name: str, subject: Subject) -> None:
    """In particular those of the checksum, and of the keys that say that there is one."""
    content = subject.file(name).read_bytes()
    positions = {*random.Random(3).sample(range(len(content)), 20), *range(len(content) - 90, len(content), 5)}
    for marker in (b"checksum", b"version", b"format"):
        start = content.find(marker)
        positions |= {start, start + len(marker) - 1} if start >= 0 else set()

    def flipped() -> Iterator[bytes]:
        for position in sorted(positions):
            yield content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]

    assert check(subject, name, flipped())["refused"] == len(positions)
