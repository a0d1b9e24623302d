"""How the service is: layers, figures."""
