"""Django OAuth Toolkit with one client, for `npm run compare`: toolkit.py CLIENT_ID CLIENT_SECRET

Prints the port that it listens on.
"""

import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "oauth2_provider",
        "rest_framework",
    ],
    MIDDLEWARE=[],
    OAUTH2_PROVIDER={
        "ACCESS_TOKEN_EXPIRE_SECONDS": 86400,
        "SCOPES": {"developer-api": "Developer API"},
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="x" * 50,
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import path
from oauth2_provider.contrib.rest_framework import OAuth2Authentication, TokenHasScope
from oauth2_provider.models import get_application_model
from oauth2_provider.views import RevokeTokenView, TokenView
from rest_framework.response import Response
from rest_framework.views import APIView


class Printers(APIView):
    authentication_classes = [OAuth2Authentication]
    permission_classes = [TokenHasScope]
    required_scopes = ["developer-api"]

    def get(self, request):
        return Response([])


urlpatterns = [
    path("developer/v1/o/token/", TokenView.as_view()),
    path("developer/v1/o/revoke_token/", RevokeTokenView.as_view()),
    path("developer/v1/printers/", Printers.as_view()),
]


class Silent(WSGIRequestHandler):
    def log_message(self, *args):
        pass


call_command("migrate", verbosity=0)
client_id, client_secret = sys.argv[1:]
get_application_model().objects.create(
    client_id=client_id,
    client_secret=client_secret,
    client_type="confidential",
    authorization_grant_type="client-credentials",
)
server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Silent)
print(server.server_port, flush=True)
server.serve_forever()
