"""What can be trained, by the name that stands under `trainer` in a config."""
