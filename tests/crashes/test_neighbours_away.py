"""The mail server and the product are down, refuse, are slow or hang up on a real process."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.crashes import stories
from tests.crashes.house import DAY, House
from tests.crashes.lines import Line
from tests.world import Customer

# On a busy machine it takes its time.
pytestmark = pytest.mark.timeout(400)


def arrived(house: House, who: Customer) -> list[str]:
    """The email steps of the customer's case whose message reached the mail server."""
    names = [str(message["Message-ID"]).strip("<>") for message in house.world.mailbox.messages]
    split = [name.partition("@")[0].split(".", 1) for name in names]
    return [step for case, step in split if case == house.world.case(who)["id"]]


def fails(house: House, who: Customer) -> None:
    """The renewal fails; whatever can be done of it is done."""
    house.world.declines(who)
    house.renewal(who)
    house.passes(seconds=1)


def is_over(house: House, who: Customer) -> None:
    """The next day the customer has paid, whatever became of the emails."""
    house.goes_to(int(who.renews_at.timestamp()) + int(1.3 * DAY))
    house.rests()
    assert house.world.state(who) == ("recovered", "full", "paid")
    assert house.world.tries(who) == ["stripe decline", "api succeed"]
    house.audit()


def test_a_mail_server_that_is_down_says_later_refuses_or_hangs_up(house: House) -> None:
    down, later, refused, lost, paid = known = stories.people(house, 5)
    mailbox = house.world.mailbox
    house.start("up")

    mailbox.close()
    fails(house, down)
    house.passes(minutes=1)
    assert house.world.step(down, "email:1").state == "deferred"
    mailbox.open()
    is_over(house, down)

    mailbox.refuse = "451 4.7.1 try again later"
    fails(house, later)
    assert house.world.step(later, "email:1").state == "deferred"
    mailbox.refuse = None
    is_over(house, later)

    mailbox.refuse = "550 5.1.1 no such user"
    fails(house, refused)
    mailbox.refuse = None
    is_over(house, refused)

    mailbox.lose_answers = 1
    fails(house, lost)
    assert house.world.step(lost, "email:1").result == "doubtful"
    is_over(house, lost)

    mailbox.close()
    fails(house, paid)
    house.sandbox.world.faults.charges.clear()
    assert house.world.pays(paid, "4242424242424242") == "succeed"
    house.passes(seconds=1)
    mailbox.open()
    house.passes(days=1)
    house.rests()
    assert house.world.state(paid) == ("recovered", "full", "paid")

    both = ["email.1", "email.recovered"]
    told = [arrived(house, who) for who in known]
    # Who was not told of the failure is not told of its end.
    assert told == [both, both, [], both, []]
    states = [row.state for row in house.world.messages()]
    assert sorted(states) == ["bounced", "doubtful", *["sent"] * 5]
    house.audit()


def test_a_product_that_is_down_fails_is_slow_or_hangs_up(house: House, ann: Customer) -> None:
    """Suspended and paid meanwhile: it is told both in order, and *restored* is the last word."""
    product = house.world.product
    address = urlsplit(house.environ["DUNNING_PRODUCT_WEBHOOK_URL"])
    with Line(address.port or 0) as line:
        house.more["up"] = {
            "DUNNING_PRODUCT_WEBHOOK_URL": f"http://127.0.0.1:{line.port}{address.path}"
        }
        house.start("up")
        stories.before_suspension(house, ann)
        line.away = True
        house.passes(days=0.2)
        assert house.world.state(ann)[:2] == ("suspended", "suspended")
        line.away, product.answer = False, 500
        house.passes(days=0.3)
        house.sandbox.world.faults.charges.clear()
        assert house.world.pays(ann, "4242424242424242") == "succeed"
        house.passes(minutes=30)
        assert house.world.state(ann) == ("recovered", "full", "paid")
        assert product.refused > 0
        before = ["case.opened", "access.restricted"]
        assert product.types == before
        product.answer, product.slow, product.lose_answers = 200, 2.0, 1
        house.rests()
        product.slow = 0.0
        house.passes(days=1)
        house.rests()
        # The one whose answer was lost came again, under its own id.
        calls = {
            one["webhook-id"]: what
            for one, what in zip(product.headers, product.types, strict=True)
        }
        told = ["access.suspended", "case.recovered", "access.restored"]
        assert list(calls.values()) == [*before, *told]
        assert len(product.types) == len(calls) + 1
        assert product.types[-1] == "access.restored"
        house.audit()
