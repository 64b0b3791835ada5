"""The routes of dj-stripe, and a callback that leaves it at keeping the event."""

from django.urls import include, path


def keep_only(trigger, api_key):
    """The event has been verified; it is saved by whoever calls."""


urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
