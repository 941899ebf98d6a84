"""The card of a run, or of runs with several seeds: settings and results on one Markdown page."""

from __future__ import annotations

from typing import Any

from classicnets.report import markdown
from classicnets.studies.parallel import Parallelism
from classicnets.studies.seeds import spread
from classicnets.text import _, assignments, full_stop, phrases, plural
from classicnets.values import current_names

_Rows = list[tuple[str, str]]


def run_card(facts: dict[str, Any], *, net: str) -> str:
    """Return the card of a finished run.

    Args:
        facts: the content of its run.json.
        net: the display name of its network.
    """
    recipe, result, machine = facts["recipe"], facts["result"], facts["machine"]
    model = plural(
        "{net}: {n:,} parameter, {macs:,} MACs per image",
        "{net}: {n:,} parameters, {macs:,} MACs per image",
        facts["parameters"],
        net=net,
        macs=facts["macs"],
    )
    data = _(
        "{name}, fingerprint {fingerprint}, from {source}",
        name=facts["data_name"],
        fingerprint=facts["fingerprint"][:16],
        source=facts["data_source"],
    )
    time = _(
        "{seconds:.1f} s of training and evaluation, started {start}",
        seconds=result["seconds"],
        start=facts["started_at"],
    )
    threads = plural("{n} thread", "{n} threads", facts["threads"])
    hardware = phrases([_hardware(machine, facts["device"]), threads, recipe["precision"]])
    rows = [
        (_("network"), model),
        *recipe_rows(facts),
        (_("data"), data),
        (_("time"), time),
        (_("machine"), hardware),
        *_software_rows(facts),
    ]
    deviations = [f"- {_(line)}" for line in recipe["deviations"]]
    figures = {
        "curves": _("curves"),
        "confusion": _("confusion matrix"),
        "calibration": _("reliability diagram"),
        "contact_sheet": _("test images with predictions"),
    }
    return "\n".join(
        [
            "# " + _("{net} on {data}", net=net, data=facts["data_name"]),
            "",
            _accuracy(facts),
            _other_metrics(result),
            "",
            _verdict(result),
            "",
            *_table(rows),
            "",
            *([_("Deviations from the source:"), "", *deviations, ""] if deviations else []),
            *(line for name, alt in figures.items() for line in (f"![{alt}]({name}.png)", "")),
            _("All metrics on the test split, with those of each class: {link}.", link="[metrics.json](metrics.json)"),
            "",
        ]
    )


def seeds_card(facts: dict[str, Any], *, net: str) -> str:
    """Return the card of finished runs with several seeds.

    Args:
        facts: the content of their study.json.
        net: the display name of the network.
    """
    result = facts["result"]
    data = _("{name}, fingerprint {fingerprint}", name=facts["data_name"], fingerprint=facts["fingerprint"][:16])
    rows = [
        *recipe_rows(facts),
        (_("data"), data),
        (_("parallel runs"), str(Parallelism.of_study(facts))),
        (_("time"), _("from {start} to {end}", start=facts["started_at"], end=facts["finished_at"])),
        (_("machine"), _hardware(facts["machine"], facts["device"])),
        *_software_rows(facts),
    ]
    columns = [_("seed"), _("test accuracy"), _("train accuracy"), _("train loss"), _("seconds")]
    heading = plural(
        "{net} on {data}, {n} seed", "{net} on {data}, {n} seeds", result["of"], net=net, data=facts["data_name"]
    )
    return "\n".join(
        [
            f"# {heading}",
            "",
            *_seeds_accuracy(result),
            "",
            _verdict(result),
            "",
            *markdown.table(columns, map(_seed_cells, result["runs"]), range(1, len(columns))),
            "",
            *_table(rows),
            "",
            f"![{_('curves of all seeds')}](curves.png)",
            "",
        ]
    )


def _accuracy(facts: dict[str, Any]) -> str:
    result = facts["result"]
    return plural(
        "Test accuracy **{accuracy:.4f}** on {n:,} image (1 run, seed {seed}, {weights});"
        " train loss {train_loss:.4f}, train accuracy {train_accuracy:.4f}.",
        "Test accuracy **{accuracy:.4f}** on {n:,} images (1 run, seed {seed}, {weights});"
        " train loss {train_loss:.4f}, train accuracy {train_accuracy:.4f}.",
        result["n"],
        accuracy=result["test_accuracy"],
        seed=facts["seed"],
        weights=result["weights"],
        train_loss=result["train_loss"],
        train_accuracy=result["train_accuracy"],
    )


def _other_metrics(result: dict[str, Any]) -> str:
    """The other metrics on the test split, without those that do not apply or are not finite."""
    metrics = {
        _("Test top-5 accuracy"): result["top5_accuracy"],
        _("balanced accuracy"): result["balanced_accuracy"],
        _("calibration error"): result["calibration_error"],
        _("loss"): result["test_loss"],
    }
    return full_stop(phrases(f"{name} {value:.4f}" for name, value in metrics.items() if value is not None))


def _seeds_accuracy(result: dict[str, Any]) -> list[str]:
    """A sentence with the statistics of test accuracy, and one with the number of failed runs if there are any."""
    figures = spread(result["test_accuracy"])
    if result["pictures"]:
        sentence = plural(
            "Test accuracy **{figures}**: mean ± standard deviation (range) of {n} run on {images:,} images.",
            "Test accuracy **{figures}**: mean ± standard deviation (range) of {n} runs on {images:,} images each.",
            result["n"],
            figures=figures,
            images=result["pictures"],
        )
    else:
        sentence = plural(
            "Test accuracy **{figures}**: mean ± standard deviation (range) of {n} run.",
            "Test accuracy **{figures}**: mean ± standard deviation (range) of {n} runs.",
            result["n"],
            figures=figures,
        )
    failed = result["of"] - result["n"]
    if not failed:
        return [sentence]
    return [sentence, plural("{n} of {total} runs failed.", "{n} of {total} runs failed.", failed, total=result["of"])]


def _seed_cells(row: dict[str, Any]) -> list[str]:
    """The seed with a link to its folder, and the figures of its run, or its error."""
    seed = markdown.link(str(row["seed"]), row["folder"])
    if "error" in row:
        return [seed, markdown.escaped(row["error"].splitlines()[0]), "", "", ""]
    figures = [f"{row[key]:.4f}" for key in ("test_accuracy", "train_accuracy", "train_loss")]
    return [seed, *figures, f"{row['seconds']:.1f}"]


def _verdict(result: dict[str, Any]) -> str:
    if result["verdict"]:
        return _("Comparison with the published result: {verdict}.", verdict=result["verdict"])
    return _("Comparison with the published result: no result is published for this recipe.")


def recipe_rows(facts: dict[str, Any]) -> _Rows:
    """Return the recipe of a run.json or study.json, and what was changed in it, as names and values."""
    recipe = facts["recipe"]
    changes = current_names({key: recipe[key] for key, source in facts["origins"].items() if source == "--set"})
    if facts["limit"]:
        changes["limit"] = facts["limit"]
    description = plural(
        "{source}: {n} epoch, batch size {batch_size}, {optimizer}, learning rate {lr:g}, {schedule} schedule",
        "{source}: {n} epochs, batch size {batch_size}, {optimizer}, learning rate {lr:g}, {schedule} schedule",
        recipe["epochs"],
        source=recipe["source"],
        batch_size=recipe["batch_size"],
        optimizer=recipe["optimizer"],
        lr=recipe["lr"],
        schedule=recipe["schedule"],
    )
    return [(_("recipe"), description), (_("changed settings"), assignments(changes) or _("none"))]


def _hardware(machine: dict[str, Any], device: str) -> str:
    cores = plural("{n} core", "{n} cores", machine["cores"])
    return phrases([machine["processor"], cores, device])


def _software_rows(facts: dict[str, Any]) -> _Rows:
    versions = facts["machine"]["versions"]
    packages = ", ".join(f"{name} {versions[name.lower()]}" for name in ("classicnets", "torch", "Python"))
    return [(_("versions"), packages), (_("command"), f"`{facts['command']}`")]


def _table(rows: _Rows) -> list[str]:
    """A Markdown table of names and values."""
    return markdown.table(["", ""], rows)
