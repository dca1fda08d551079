"""What a run is judged by: what it minimises, and the validation of the same pictures each time."""
