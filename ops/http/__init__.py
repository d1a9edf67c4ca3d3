"""What is served over HTTP.

app.py      the application, and serving it      server.py    limits for each connection
health.py   alive? ready?                        webhooks.py  Pluvo's webhooks
access.py   who asks                             console/     the operators' pages
needs.py    what each route needs                api/         the API
oidc.py     an issuer to log in through          metrics.py   for Prometheus
caught.py   what broke
"""
