"""What is served over HTTP: health, API, console and Pluvo's webhooks."""
