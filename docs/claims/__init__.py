"""Claims of common notes about LeNet and AlexNet, one file for each topic, with the computations that check them."""

from __future__ import annotations

from claims import alexnet, counts, history, lenet, parts, shapes, training

TOPICS = (
    counts.TOPIC,
    shapes.TOPIC,
    lenet.TOPIC,
    alexnet.TOPIC,
    parts.TOPIC,
    training.TOPIC,
    history.TOPIC,
)
CLAIMS = [claim for topic in TOPICS for claim in topic.claims]
