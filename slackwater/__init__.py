"""The public package: the version, the settings and the root of the errors. It imports no room."""

__version__ = "0.1.0"
__all__ = ["__version__"]
