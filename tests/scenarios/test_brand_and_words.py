"""The words of an email are the customer's, and the face on it is the merchant's."""

from __future__ import annotations

from email.message import EmailMessage

from tests.scenarios.conftest import Begin

POLICY = """
version: 1
defaults: {locale: da}
brand:
  name: Northwind
  colour: "#0f766e"
  address: [Northwind Ltd, 1 High Street]
  support: {phone: +44 20 7946 0018}
policies:
  standard:
    grace: 9d
    window: 9d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
"""


def part(message: EmailMessage, kind: str) -> str:
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def test_the_brand_of_the_file_is_in_the_email(begin: Begin) -> None:
    world = begin(policy=POLICY)
    world.failing(times=9, preferred_locales=["fr"])
    (message,) = world.mailbox.messages
    assert "Northwind" in message["subject"]
    assert "Nous n’avons pas pu encaisser" in part(message, "plain")
    assert "Northwind Ltd\n1 High Street" in part(message, "plain")
    assert "+44 20 7946 0018" in part(message, "html")
    assert "#0f766e" in part(message, "html")


def test_who_has_no_language_is_written_to_in_the_policys(begin: Begin) -> None:
    world = begin(policy=POLICY)
    world.failing(times=9)
    (row,) = world.messages()
    (message,) = world.mailbox.messages
    assert row.locale == "da"
    assert "Vi kunne ikke trække din betaling" in part(message, "plain")


def test_the_country_speaks_where_the_customer_did_not(begin: Begin) -> None:
    world = begin(policy=POLICY)
    world.failing(times=9, address={"country": "PL"})
    (message,) = world.mailbox.messages
    assert "Nie udało się nam pobrać" in part(message, "plain")
