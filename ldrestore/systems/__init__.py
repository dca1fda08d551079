"""Systems: the stages of a track put in order, once, for pipelines, trainers and explanations alike."""
