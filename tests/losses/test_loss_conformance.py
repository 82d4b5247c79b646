"""The losses do what every loss must do."""

from __future__ import annotations

from ssl3d.testing.loss import LossConformance
from ssl3d_plugins.losses import L1, MSE, InfoNCE


class TestMSE(LossConformance):
    config = MSE()


class TestMSEOverPatches(LossConformance):
    config = MSE(over="patches")


class TestL1(LossConformance):
    config = L1(label="absolute", weight=0.5)


class TestInfoNCE(LossConformance):
    config = InfoNCE(samples=8, width=4)


class TestInfoNCEOfViews(LossConformance):
    config = InfoNCE(between="views", width=4)


class TestInfoNCEOfViewsOverTheBatch(LossConformance):
    config = InfoNCE(between="views", width=4, negatives="batch")


class TestInfoNCEOverTheBatch(LossConformance):
    config = InfoNCE(samples=8, width=4, negatives="batch")
