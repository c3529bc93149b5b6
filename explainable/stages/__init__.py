"""The models of the study: the options and the training stage of each, by the name of its network."""

from explainable.stages.adversarial_stage import AdversarialOptions, AdversarialStage
from explainable.stages.attribute_stage import AttributeOptions, AttributeStage
from explainable.stages.measure_stage import MeasureOptions, MeasureStage

MODELS = {
    MeasureStage.network: (MeasureOptions, MeasureStage),
    AdversarialStage.network: (AdversarialOptions, AdversarialStage),
    AttributeStage.network: (AttributeOptions, AttributeStage),
}
