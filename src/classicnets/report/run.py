"""Writes the figures and the card of a finished run into its folder."""

from __future__ import annotations

from classicnets.files import write_whole
from classicnets.report import cards, error_analysis, figures
from classicnets.report.fonts import figure_texts
from classicnets.text import _, plural
from classicnets.training.results import Results


def write(results: Results) -> None:
    """Write the curves, confusion matrix, reliability diagram, contact sheet and card. Raises MachineError CN401."""
    plan, folder, metrics, test = results.plan, results.folder, results.evaluation, results.test
    net, classes = plan.net_spec.display_name, plan.description.classes
    with figure_texts():
        title = plural(
            "{net} on {data}: accuracy {accuracy:.4f} on {n:,} test image",
            "{net} on {data}: accuracy {accuracy:.4f} on {n:,} test images",
            metrics.n,
            net=net,
            data=plan.description.name,
            accuracy=metrics.accuracy,
        )
        error = _("expected calibration error {error:.4f}", error=metrics.calibration_error)
        bins = metrics.to_dict()["calibration"]
        for path, figure in (
            (folder.curves, figures.draw_curves(results.events, plan.expected, plan.title)),
            (folder.confusion, error_analysis.draw_confusion_matrix(metrics.confusion, classes, title)),
            (folder.calibration, error_analysis.draw_reliability_diagram(bins, f"{title}\n{error}")),
            (
                folder.contact_sheet,
                error_analysis.draw_contact_sheet(test.images, test.labels, results.probabilities, classes, title),
            ),
        ):
            write_whole(path, figures.png(figure))
    write_whole(folder.path / "card.md", cards.run_card(results.facts, net=net).encode("utf-8", "backslashreplace"))
