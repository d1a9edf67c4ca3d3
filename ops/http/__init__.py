"""What is served over HTTP: health and Pluvo's webhooks."""
