"""The version of this distribution, as the service sees it in `User-Agent`."""

VERSION = "0.1.0"
