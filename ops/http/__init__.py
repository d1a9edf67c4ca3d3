"""What is served over HTTP.

app.py      the application, and serving it      server.py    limits for each connection
health.py   alive? ready?                        webhooks.py  Pluvo's webhooks
access.py   who asks                             console/     the operators' pages
caught.py   what broke
"""
