"""The figures and the card of a finished run, in its folder."""

from __future__ import annotations

from classicnets.files import write_whole
from classicnets.report import error_analysis, figures, markdown
from classicnets.training.session import Results


def write(results: Results) -> None:
    """Draws curves, confusion matrix, calibration and contact sheet, and writes the card. Raises MachineError CN401."""
    plan, folder, measured, test = results.plan, results.folder, results.evaluation, results.test
    net, classes = plan.net_spec.described, plan.description.classes
    title = f"{net} on {plan.description.name}: accuracy {measured.accuracy:.4f} on {measured.n:,} test images"
    error = f"calibration error {measured.calibration_error:.4f}"
    for path, figure in (
        (folder.curves, figures.draw_curves(results.events, plan.expected, plan.title)),
        (folder.confusion, error_analysis.draw_confusion_matrix(measured.confusion, classes, title)),
        (
            folder.calibration,
            error_analysis.draw_reliability_diagram(measured.to_dict()["calibration"], f"{title}\n{error}"),
        ),
        (
            folder.contact_sheet,
            error_analysis.draw_contact_sheet(test.images, test.labels, results.probabilities, classes, title),
        ),
    ):
        write_whole(path, figures.png(figure))
    write_whole(folder.path / "card.md", markdown.card(results.facts, net=net).encode())
