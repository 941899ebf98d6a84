"""Runs, several seeds, studies, evaluations and predictions for a notebook cell, from the facts in their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from classicnets.evaluation.classify import Prediction
from classicnets.evaluation.evaluate import Evaluation
from classicnets.report import cards, cell, lines, quantities, study_lines, study_text
from classicnets.studies.seeds import spread
from classicnets.text import _, command, duration, plural
from classicnets.values import Expected

_MAX_CLASSES = 20  # classes of an evaluation that are listed
_MAX_PREDICTIONS = 50  # images that are listed
_MAX_IMAGE_BYTES = 2 * 2**20  # larger figures are not put into the notebook


def run(facts: Mapping[str, Any], path: Path, *, net: str) -> str:
    """Return a run: its accuracy beside the published one, its loss, how it was trained, and its curves.

    Args:
        facts: The contents of its run.json.
        path: Its folder.
        net: The display name of its network.
    """
    result = facts.get("result")
    title = _("{net} on {data}", net=net, data=facts["data_name"] or _("unknown data"))
    if not result:
        if "converted" in facts:
            return cell.cell(
                cell.heading(title), cell.line(_("The weights were converted, not trained here.")), _at(path)
            )
        again = f"cn.resume({str(path)!r})"
        return cell.cell(
            cell.heading(title),
            cell.line(_("The run is not finished. To resume it: {command}", command=again)),
            cell.facts([*_how(facts), (_("folder"), str(path))]),
        )
    return cell.cell(
        cell.heading(title),
        cell.facts(
            [
                (_("test accuracy"), _on_images(result["test_accuracy"], result["n"])),
                (_("published"), _published(facts["recipe"])),
                (_("comparison"), result["verdict"]),
                (_("test loss"), _decimal(result["test_loss"])),
                (_("training"), _training(result)),
                *_how(facts),
                (_("time"), duration(result["seconds"])),
                (_("folder"), str(path)),
            ]
        ),
        _figure(path / "curves.png", _("curves")),
    )


def seeds(facts: Mapping[str, Any], path: Path) -> str:
    """Return several runs of one network: the spread of their accuracies, each of them, and their curves.

    Args:
        facts: The contents of study.json, with the result.
        path: Their folder.
    """
    result = facts["result"]
    columns = [_("seed"), _("test accuracy"), _("train accuracy"), _("train loss"), _("seconds"), ""]
    rows = [
        [str(row["seed"]), "", "", "", "", row["error"].splitlines()[0]]
        if "error" in row
        else [
            str(row["seed"]),
            *(_decimal(row[key]) for key in ("test_accuracy", "train_accuracy", "train_loss")),
            f"{row['seconds']:.1f}",
            "",
        ]
        for row in result["runs"]
    ]
    n = plural("{finished} of {n} run", "{finished} of {n} runs", result["of"], finished=result["n"])
    return cell.cell(
        cell.heading(_("{name} on {data}", name=path.name, data=facts["data_name"])),
        cell.facts(
            [
                (_("test accuracy"), _("{spread}, {n}", spread=spread(result["test_accuracy"]), n=n)),
                (_("published"), _published(facts["recipe"])),
                (_("comparison"), result["verdict"]),
                *_how(facts),
                (_("folder"), str(path)),
            ]
        ),
        cell.table(columns, rows, numbers=columns[:5]),
        _figure(path / "curves.png", _("curves of all seeds")),
    )


def study(facts: Mapping[str, Any], path: Path) -> str:
    """Return a study: its question, the answers, its arms, and the figure that compares them.

    Args:
        facts: The contents of study.json, with the result.
        path: Its folder.
    """
    columns, rows = study_lines.arm_rows(facts)
    missing = study_text.runs_without_result(facts)
    return cell.cell(
        cell.heading(study_text.question(facts)),
        cell.items(comparison["verdict"] for comparison in facts["result"]["comparisons"]),
        cell.table(columns, rows, numbers=columns[1:-1]),
        cell.line(missing),
        cell.items(study_text.failures(facts)) if missing else "",
        _figure(path / "arms.png", quantities.label(study_text.measures_of(facts)[0])),
        cell.line(_("report: {path}", path=path / "report.html"), soft=True),
    )


def evaluation(result: Evaluation, classes: Sequence[str], *, model: str, data: str, device: str) -> str:
    """Return the metrics of a model, and those of each class; of many classes, those with the lowest recall.

    Args:
        result: The metrics.
        classes: The names of the classes.
        model: The name of the model.
        data: The name of the data.
        device: Where the model was evaluated.
    """
    columns, rows = class_rows(result, classes)
    hidden = ""
    if len(rows) > _MAX_CLASSES:
        worst = sorted(range(len(rows)), key=lambda i: (result.recall[i] is None, result.recall[i] or 0.0))
        rows = [rows[i] for i in worst[:_MAX_CLASSES]]
        hidden = _("the {n} of {total:,} classes with the lowest recall", n=_MAX_CLASSES, total=len(classes))
    accepted = result.accepted
    answered = ""
    if accepted is not None:
        answered = _("{n:,} of {total:,} images", n=accepted.n, total=result.n)
        if accepted.accuracy is not None:
            answered = _("{n:,} of {total:,} images, accuracy {accuracy:.4f}", **{**vars(accepted), "total": result.n})
    return cell.cell(
        cell.heading(_("{net} on {data}", net=model, data=data)),
        cell.facts(
            [
                (_("accuracy"), _on_images(result.accuracy, result.n)),
                (_("loss"), _decimal(result.loss)),
                (_("top-5 accuracy"), _decimal(result.top5_accuracy)),
                (_("balanced accuracy"), _decimal(result.balanced_accuracy)),
                (_("calibration error"), _decimal(result.calibration_error)),
                (_("accepted"), answered),
                (_("time"), _("{time} on {device}", time=duration(result.seconds), device=device)),
            ]
        ),
        cell.line(lines.left_out(result.left_out)),
        cell.line(hidden),
        cell.table(columns, rows, numbers=columns[1:4]),
    )


def class_rows(result: Evaluation, classes: Sequence[str]) -> tuple[list[str], list[list[object]]]:
    """Return the columns and rows of the table of classes; its columns 1 to 3 are numbers."""
    rows: list[list[object]] = []
    for i, name in enumerate(classes):
        wrong = [0 if j == i else count for j, count in enumerate(result.confusion[i])]
        confused_with = f"{classes[wrong.index(max(wrong))]} ({max(wrong):,})" if any(wrong) else "-"
        recall, precision = (_decimal(value, 3) or "-" for value in (result.recall[i], result.precision[i]))
        rows.append([name, recall, precision, result.support[i], confused_with])
    return [_("class"), _("recall"), _("precision"), _("images"), _("most confused with")], rows


def predicted(found: Sequence[Prediction]) -> str:
    """Return a table of images with their most probable classes."""
    labeled = any(prediction.truth is not None for prediction in found)
    probability = _("probability")
    columns = [_("image"), _("class"), probability, _("next"), *([_("true class")] if labeled else [])]
    rows, marks = [], {}
    for i, prediction in enumerate(found[:_MAX_PREDICTIONS]):
        if prediction.right is False:
            marks[i] = "removed"
        rows.append([prediction.image, *_answer(prediction), *([prediction.truth or ""] if labeled else [])])
    omitted = len(found) - len(rows)
    more = plural("and {n:,} more image", "and {n:,} more images", omitted) if omitted else ""
    return cell.cell(cell.table(columns, rows, numbers=[probability], marks=marks), cell.line(more))


def _answer(prediction: Prediction) -> list[str]:
    """Class, probability and the next classes, or why there are none."""
    if prediction.error:
        return [prediction.error, "", ""]
    pairs = [*zip(prediction.classes, prediction.probabilities, strict=True)]
    others = ", ".join(f"{name} {probability:.3f}" for name, probability in pairs[1:])
    return [_("unknown") if prediction.rejected else pairs[0][0], f"{pairs[0][1]:.3f}", others]


def _how(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The data, the recipe and the machine of a run or of several seeds."""
    data = _("{name}, fingerprint {fingerprint}", name=facts["data_name"], fingerprint=facts["fingerprint"][:16])
    limit = facts.get("limit")
    if limit:
        data = _("{data}, at most {limit:,} images of a split", data=data, limit=limit)
    where = ", ".join(filter(None, [facts["device"], facts["machine"].get("processor", "")]))
    rows = cards.recipe_rows(dict(facts))
    return [(_("data"), data), *rows, (_("device"), where)]


def _published(recipe: Mapping[str, Any]) -> str:
    """The published accuracy with its source; "" if there is none."""
    expected = recipe.get("expected")
    if not expected:
        return ""
    published = Expected(**expected)
    return _("{accuracy}: {source}", accuracy=published, source=_(published.source))


def _training(result: Mapping[str, Any]) -> str:
    loss, accuracy = _decimal(result["train_loss"]), _decimal(result["train_accuracy"])
    return _("loss {loss}, accuracy {accuracy}", loss=loss, accuracy=accuracy) if loss and accuracy else ""


def _on_images(accuracy: float, n: int) -> str:
    return plural("{accuracy:.4f} on {n:,} image", "{accuracy:.4f} on {n:,} images", n, accuracy=accuracy)


def _decimal(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _at(path: Path) -> str:
    return cell.line(_("To show its network: {command}", command=command("classicnets", "show", path)), soft=True)


def _figure(path: Path, alt: str) -> str:
    """A PNG of the folder; "" if it is not there, or too large."""
    with suppress(OSError):
        if path.stat().st_size <= _MAX_IMAGE_BYTES:
            return cell.image(path.read_bytes(), alt)
    return ""
