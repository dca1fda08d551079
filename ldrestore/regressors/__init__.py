"""The fast track: networks that restore in one forward pass, one file an architecture, one registry."""

from ldrestore.regressors.factory import create_regressor, list_regressors, record_of

__all__ = ["create_regressor", "list_regressors", "record_of"]
