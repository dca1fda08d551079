"""The one training loop: accelerate, steps, checkpoints, averaged weights, the journal and the learning rate."""
