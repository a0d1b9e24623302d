"""The OpenAPI document: what every route takes, answers and refuses."""
