"""The card of a run: what was done, with what, and what came of it, on one page."""

from __future__ import annotations

from typing import Any


def card(facts: dict[str, Any], *, net: str) -> str:
    """The card from the facts of a finished run (its run.json); `net` is how its net is called."""
    recipe, result, versions = facts["recipe"], facts["result"], facts["machine"]["versions"]
    changed = [f"{key}={recipe[key]}" for key, source in facts["origins"].items() if source == "--set"]
    lines = [
        f"# {net} on {facts['data_name']}",
        "",
        f"Test accuracy **{result['test_accuracy']:.4f}** on {result['n']:,} images (n = 1 run, seed {facts['seed']},"
        f" {result['weights']}); train loss {result['train_loss']:.4f}, train accuracy {result['train_accuracy']:.4f}.",
        f"{_more(result)}.",
        "",
        f"Verdict: {result['verdict'] or 'no result is published for this recipe'}.",
        "",
        "| what | |",
        "| --- | --- |",
        f"| net | {net}: {facts['parameters']:,} parameters, {facts['macs']:,} MACs an image |",
        f"| recipe | {recipe['source']}: {recipe['epochs']} epochs, batch {recipe['batch_size']},"
        f" {recipe['optimizer']} lr {recipe['lr']:g}, {recipe['schedule']} |",
        f"| changed | {', '.join(changed) or 'nothing'}{', limit ' + str(facts['limit']) if facts['limit'] else ''} |",
        f"| data | {facts['data_name']}, fingerprint {facts['fingerprint'][:16]}, from {facts['data_source']} |",
        f"| time | {result['seconds']:.1f} s of training and evaluation, started {facts['started_at']} |",
        f"| machine | {facts['machine']['processor']}, {facts['machine']['cores']} cores, {facts['device']},"
        f" {facts['threads']} threads, {recipe['precision']} |",
        f"| versions | classicnets {versions['classicnets']}, torch {versions['torch']}, Python {versions['python']} |",
        f"| command | `{facts['command']}` |",
        "",
    ]
    if recipe["deviations"]:
        lines += ["Deviations from the source:", "", *(f"- {line}" for line in recipe["deviations"]), ""]
    for name in ("curves", "confusion", "calibration", "contact_sheet"):
        lines += [f"![{name.replace('_', ' ')}]({name}.png)", ""]
    lines += ["Every figure on the test split, class by class: [metrics.json](metrics.json).", ""]
    return "\n".join(lines)


def _more(result: dict[str, Any]) -> str:
    """The other figures on the test split; those that do not apply or are not finite are left out."""
    figures = {
        "Test top-5 accuracy": result["top5_accuracy"],
        "balanced accuracy": result["balanced_accuracy"],
        "calibration error": result["calibration_error"],
        "loss": result["test_loss"],
    }
    return ", ".join(f"{name} {value:.4f}" for name, value in figures.items() if value is not None)
