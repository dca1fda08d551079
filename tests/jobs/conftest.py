from tests.cli.conftest import folder, picture, stable_model, tiny_model

__all__ = ["folder", "picture", "stable_model", "tiny_model"]
