"""What the rooms share, and the version of the package. `slackwater.core` is the ground; it imports no room."""

__version__ = "0.1.0"
__all__ = ["__version__"]
