"""dj-stripe as a receiver: it verifies each event and keeps it, and does nothing with it.

Run in its own environment. `python -m djstripe_app` makes the tables and prints the path of the
webhook; gunicorn serves `djstripe_app:application`.
"""

import os

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": os.environ["BENCH_PG_PORT"],
            "USER": "dunning",
            "NAME": "djstripe",
            # Kept open, as one would in production.
            "CONN_MAX_AGE": None,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
    # Its handlers would ask Stripe for more; a callback leaves it at keeping the event.
    DJSTRIPE_WEBHOOK_EVENT_CALLBACK="djstripe_keep.keep_only",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "djstripe"],
    LOGGING_CONFIG=None,
    ROOT_URLCONF="djstripe_keep",
    SECRET_KEY="bench",
    STRIPE_LIVE_MODE=False,
    STRIPE_TEST_SECRET_KEY="sk_test_bench",
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - after set-up

application = get_wsgi_application()

if __name__ == "__main__":
    from django.core.management import call_command
    from djstripe.models import WebhookEndpoint

    call_command("migrate", verbosity=0, skip_checks=True)
    endpoint = WebhookEndpoint.objects.create(
        id="we_bench",
        api_version="2026-10-28.endive",
        enabled_events=["*"],
        livemode=False,
        secret=os.environ["BENCH_SECRET"],
        status="enabled",
        url="http://127.0.0.1/",
    )
    print(f"/stripe/webhook/{endpoint.djstripe_uuid}/")
