"""The stages of the study's trainings, by the name of the network; their options: `explainable.options.TRAININGS`."""

from explainable.stages.adversarial_stage import AdversarialStage
from explainable.stages.attribute_stage import AttributeStage
from explainable.stages.measure_stage import MeasureStage

STAGES = {stage.network: stage for stage in (MeasureStage, AdversarialStage, AttributeStage)}
