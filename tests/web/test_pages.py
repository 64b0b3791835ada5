"""What a customer sees who follows the link in a message, and what the buttons do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest
from sqlalchemy import event as hooks
from sqlalchemy.exc import OperationalError

from dunning.core.case import case_id
from dunning.core.events import InvoiceNews, InvoiceReported, InvoiceStatus, MethodNews
from dunning.core.ports import Links, View
from dunning.core.promises import running
from dunning.errors import ProviderDownError
from dunning.links import token_for
from tests import builders as b
from tests import happenings as h
from tests.providers.stripe.bodies import ended_invoice, event, invoice, paid_invoice
from tests.stages.kit import later
from tests.web.visiting import CARD, IRELAND, KEY, PAY, PUBLIC, Desk, desk_on, page

OWED = "Your payment of €49.00 did not go through"
PAID = "Thank you, everything is paid"
UNKNOWN = "This link is not complete"
AWAY = "One moment, please"
VOID = {**ended_invoice("void", "voided_at"), "customer_address": IRELAND}
BUTTONS = ("card", "invoice/aaaaaaaaaa", "promise", "link")


@pytest.fixture
def desk(migrated_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_on(migrated_url, tmp_path) as desk:
        yield desk


def test_what_is_owed_and_what_can_be_done(desk: Desk) -> None:
    text = page(desk.sees(), 200, OWED)
    assert "A-0001" in text
    assert f'action="{desk.token()}/card"' in text
    assert f'action="{desk.token()}/invoice/{desk.case.id[5:15]}"' in text
    assert desk.pages.asked == []
    assert desk.pages.looked == []
    policy = desk.sees().headers["content-security-policy"]
    assert "form-action 'self' https://stripe.com https://*.stripe.com;" in policy


def test_who_came_for_a_card_finds_that_button_first(desk: Desk) -> None:
    pays, gives = (page(desk.sees(desk.token(purpose)), 200, OWED) for purpose in ("pay", "card"))
    assert 'class="first">Pay now' in pays
    assert 'class="first">Update card' in gives
    assert pays.count('class="first"') == gives.count('class="first"') == 1


def test_a_button_leads_to_a_fresh_page_of_the_provider(desk: Desk) -> None:
    token = desk.token()
    answer = desk.pays(token)
    assert (answer.status, answer.headers["location"]) == (303, PAY)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert desk.presses("card", token).headers["location"] == CARD
    back = f"{PUBLIC}/pay/{token}?back="
    assert desk.pages.asked == [("in_1", "cus_1", f"{back}pay"), ("in_1", "cus_1", f"{back}card")]
    desk.pages.given = Links(pay="https://invoice.stripe.com/i/2", update_card=None)
    assert desk.pays().headers["location"] == "https://invoice.stripe.com/i/2"
    # Whoever cannot be shown where to give a card can pay with a new one.
    assert desk.presses("card").headers["location"] == "https://invoice.stripe.com/i/2"


def test_looking_is_put_on_record_once_and_is_no_click(desk: Desk) -> None:
    assert desk.edge.request("HEAD", f"/pay/{desk.token()}").status == 200
    assert desk.facts.page_opened_at is None
    first = desk.now
    desk.sees()
    desk.edge.clock.passes(hours=1)
    desk.sees()
    assert desk.facts.page_opened_at == first
    assert not desk.facts.clicked


def test_a_button_is_a_click_and_an_hour_knows_one_of_each(desk: Desk) -> None:
    first = desk.now
    for _ in range(2):
        desk.pays()
        desk.presses("card")
        desk.edge.clock.passes(minutes=5)
    assert [(one.button, one.at) for one in desk.facts.presses] == [("card", first), ("pay", first)]
    desk.edge.clock.passes(hours=1)
    desk.pays()
    assert [one.button for one in desk.facts.presses].count("pay") == 2


def test_an_invoice_that_is_paid_needs_nothing(desk: Desk) -> None:
    token = desk.token()
    desk.hears(later(event("invoice.paid", paid_invoice(customer_address=IRELAND)), 600))
    page(desk.sees(token), 200, PAID)
    for answer in (desk.pays(token), desk.presses("card", token)):
        assert (answer.status, answer.headers["location"].rpartition("/")[2]) == (303, token)
    assert desk.pages.asked == []
    assert desk.facts.presses == ()


def test_an_invoice_that_is_void_needs_nothing(desk: Desk) -> None:
    desk.hears(later(event("invoice.voided", VOID), 600))
    page(desk.sees(), 200, "Nothing to pay")
    assert desk.pays().status == 303
    assert desk.pages.asked == []


def test_without_a_link_to_give_the_customer_is_asked_to_come_again(desk: Desk) -> None:
    for purpose, given in (
        ("pay", ProviderDownError("no answer from sk_test_1")),
        ("card", Links(pay=None, update_card=None)),
        ("pay", Links(pay="javascript:alert(1)", update_card="javascript:alert(1)")),
        ("card", Links(pay="//evil.example.com", update_card="https://stripe.com.evil.example")),
        ("pay", Links(pay="file:///etc/passwd", update_card="http://invoice.stripe.com/1")),
    ):
        desk.pages.given = given
        desk.edge.clock.passes(seconds=1)
        token = desk.token(purpose)
        for answer in (desk.pays(token), desk.presses("card", token)):
            page(answer, 503, AWAY)
            assert answer.headers["retry-after"] == "60"
        page(desk.sees(), 200, OWED)


def test_with_the_database_away_as_well(desk: Desk) -> None:
    token = desk.token()

    def away(_connection: object) -> None:
        raise OperationalError("BEGIN", {}, Exception("the server is away"))

    hooks.listen(desk.edge.program.engine, "begin", away)
    page(desk.sees(token), 503, AWAY)
    page(desk.presses("card", token), 503, AWAY)
    hooks.remove(desk.edge.program.engine, "begin", away)


def test_the_link_of_an_older_message_leads_to_the_page(desk: Desk) -> None:
    token = desk.token()
    answer = desk.edge.get(f"/r/{token}")
    assert (answer.status, answer.headers["location"]) == (303, f"../pay/{token}")
    assert desk.facts.page_opened_at is None


# --- links that are none -----------------------------------------------------------------------

Spoil = Callable[[str], str]
SPOILT: dict[str, Spoil] = {
    "guessed": lambda _: "rcv_pay_" + "a" * 20 + "_" + "a" * 26,
    "cut": lambda token: token[:-1],
    "changed": lambda token: token[:-1] + ("a" if token[-1] != "a" else "b"),
    "longer": lambda token: token + "a",
    "for another purpose": lambda token: token.replace("_pay_", "_card_"),
    "encoded": lambda token: token.replace("_", "%5F") + "%00",
    "of nobody": lambda _: "x",
    "with markup": lambda _: "%3Cscript%3Ealert(1)%3C%2fscript%3E".replace("%2f", ""),
    "a scheme": lambda _: "javascript:alert(1)",
    "very long": lambda _: "a" * 5000,
    "of an unknown case": lambda _: token_for(KEY, "case_" + "a" * 20, "pay", b.T0),
    "of another key": lambda _: token_for("another-key-of-32-characters-too", "x", "pay", b.T0),
}


def test_any_other_token_says_nothing_and_always_the_same(desk: Desk) -> None:
    token = desk.token()
    answers = [desk.sees(spoil(token)) for spoil in SPOILT.values()]
    for answer in answers:
        page(answer, 404, UNKNOWN)
    seen = {
        (one.body, *((name, value) for name, value in one.headers.items() if name != "date"))
        for one in answers
    }
    assert len(seen) == 1
    assert desk.pages.asked == []
    assert desk.facts.page_opened_at is None


def test_nor_do_its_buttons_do_anything(desk: Desk) -> None:
    for how in ("guessed", "changed", "a scheme"):
        for button in BUTTONS:
            page(desk.presses(button, SPOILT[how](desk.token()), until="2026-09-25"), 404, UNKNOWN)
    assert desk.pages.asked == []
    assert desk.post.letters == []
    assert desk.facts.promises == ()


def test_without_a_key_for_links_there_are_none(migrated_url: str, tmp_path: Path) -> None:
    with desk_on(migrated_url, tmp_path, environ={"DUNNING_SECRET_KEY": ""}) as desk:
        page(desk.sees(), 404, UNKNOWN)


def test_no_invoice_but_the_customers_own_is_reached(desk: Desk) -> None:
    answer = desk.presses("invoice/aaaaaaaaaa")
    assert answer.status == 303
    assert answer.headers["location"].startswith("../../rcv_")
    assert desk.pages.asked == []


def test_a_button_is_pressed_and_never_fetched(desk: Desk) -> None:
    for button in BUTTONS:
        assert desk.edge.get(f"/pay/{desk.token()}/{button}").status == 405
    assert desk.pages.asked == []
    assert desk.facts.presses == ()


def test_a_form_is_short(desk: Desk) -> None:
    assert desk.presses("promise", until="x" * 2000).status == 413
    assert desk.presses("promise", **{str(n): "x" for n in range(50)}).status == 303
    assert desk.edge.post(f"/pay/{desk.token()}/promise", b"\xff\xfe").status == 303
    assert desk.facts.promises == ()


def test_who_comes_too_often_is_asked_to_wait(desk: Desk) -> None:
    token = desk.token()
    assert [desk.presses("card", token).status for _ in range(8)] == [303] * 8
    more = (desk.presses("card", token) for _ in range(100))
    refused = next(one for one in more if one.status != 303)
    page(refused, 429, "Too many requests")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    page(desk.sees(token), 200, OWED)
    # Another customer's link is another bucket.
    assert desk.presses("card", desk.token("card")).status == 303


def test_who_guesses_is_soon_asked_to_wait_and_nobody_else(desk: Desk) -> None:
    def guesses(number: int) -> int:
        token = f"rcv_pay_{'a' * 20}_{'bcd'[number % 3] * 26}"
        return desk.sees(token, X_Forwarded_For="198.51.100.7").status

    assert 429 in (guesses(number) for number in range(200))
    assert desk.sees(X_Forwarded_For="198.51.100.8").status == 200


# --- what follows the provider's page ----------------------------------------------------------


def test_after_paying_the_truth_is_asked_for_and_shown(desk: Desk) -> None:
    token = desk.token()
    desk.pays(token)
    report = InvoiceReported(
        id="look",
        at=desk.now,
        news=InvoiceNews.PAID,
        bill=b.bill(status=InvoiceStatus.PAID, currency="eur", paid_at=desk.now),
    )
    desk.pages.view = View(bill=report.bill, events=(report,))
    page(desk.sees(token), 200, PAID)
    assert desk.pages.looked == ["in_1"]


def test_while_nobody_has_heard_of_it_the_page_says_so_and_asks_no_more_than_it_may(
    desk: Desk,
) -> None:
    token = desk.token()
    desk.pays(token)
    began = time.monotonic()
    texts = [page(desk.sees(token), 200, OWED) for _ in range(10)]
    assert all("We have not heard of a payment" in text for text in texts)
    assert 4 <= len(desk.pages.looked) <= 5 + (time.monotonic() - began) / 5
    desk.edge.clock.passes(hours=1)
    assert "We have not heard" not in page(desk.sees(token), 200, OWED)


def test_after_a_card_was_given_the_page_looks_again_by_itself_for_a_while(desk: Desk) -> None:
    token = desk.token("card")
    desk.presses("card", token)
    answer = desk.sees(token, "?back=card")
    page(answer, 200, AWAY)
    assert answer.headers["refresh"] == f"3; url={token}?back=card&n=1"
    new = h.method(MethodNews.NEW, desk.now, "pm_new")
    desk.pages.view = View(bill=b.bill(currency="eur"), events=(new,))
    answer = desk.sees(token, "?back=card&n=1")
    assert "Your new payment method has arrived" in page(answer, 200, AWAY)
    assert answer.headers["refresh"] == f"3; url={token}?back=card&n=2"
    last = desk.sees(token, "?back=card&n=6")
    page(last, 200, OWED)
    assert "refresh" not in last.headers


def test_where_no_card_was_given_the_page_is_soon_the_usual_one(desk: Desk) -> None:
    token = desk.token("card")
    desk.presses("card", token)
    assert "refresh" in desk.sees(token, "?back=card&n=1").headers
    answer = desk.sees(token, "?back=card&n=2")
    assert "We have not heard of a payment or a new card" in page(answer, 200, OWED)
    assert "refresh" not in answer.headers


@pytest.mark.parametrize(
    "more", ["?n=-1", "?n=99999999999999999999", "?n=x", "?back=%00", "?said=x"]
)
def test_nothing_in_the_address_breaks_the_page(desk: Desk, more: str) -> None:
    page(desk.sees(more=more), 200, OWED)


# --- a promise ---------------------------------------------------------------------------------


def test_a_promise_is_kept_as_the_customers_word(desk: Desk) -> None:
    token = desk.token()
    assert "You cannot pay today?" in page(desk.sees(token), 200, OWED)
    answer = desk.presses("promise", token, until="2026-09-25")
    assert (answer.status, answer.headers["location"]) == (303, f"../{token}")
    (said,) = desk.facts.promises
    assert (said.by, said.amount) == ("customer", None)
    # The whole of that day, where the customer is.
    assert said.until.isoformat() == "2026-09-25T23:00:00+00:00"
    assert desk.case.standing == "promise"
    text = page(desk.sees(token), 200, OWED)
    assert "<strong>25 September 2026</strong>" in text
    assert "You cannot pay today?" not in text
    assert "What happens next" not in text
    # Once more changes nothing, and the next one is for a person to take.
    again = desk.presses("promise", token, until="2026-09-26")
    assert (again.status, again.headers["location"]) == (303, f"../{token}")
    assert desk.facts.promises == (said,)


def test_a_promise_that_was_broken_is_said_and_not_repeated(desk: Desk) -> None:
    desk.presses("promise", until="2026-09-23")
    desk.edge.clock.passes(days=4)
    text = page(desk.sees(), 200, OWED)
    assert "You said that you would pay by <strong>23 September 2026</strong>" in text
    assert "You cannot pay today?" not in text
    desk.presses("promise", until="2026-09-27")
    assert len(desk.facts.promises) == 1


def test_no_other_day_can_be_promised(desk: Desk) -> None:
    for until in ("2026-09-21", "2026-09-29", "2027-01-01", "x", "", "9999-12-31"):
        answer = desk.presses("promise", until=until)
        assert answer.headers["location"].endswith("?said=no_promise")
        assert desk.facts.promises == ()
    assert "Please choose another one" in page(desk.sees(more="?said=no_promise"), 200, OWED)


def test_of_many_presses_at_once_one_promise_comes(desk: Desk) -> None:
    token, together = desk.token(), Barrier(6)

    def press(day: int) -> None:
        together.wait(30)
        desk.presses("promise", token, until=f"2026-09-{22 + day}")

    threads = [Thread(target=press, args=(day,)) for day in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(desk.facts.promises) == 1
    assert running(desk.facts, desk.now) is not None


# --- languages and looks -----------------------------------------------------------------------


def test_the_page_speaks_as_the_emails_do_and_a_strange_link_as_the_browser(desk: Desk) -> None:
    theirs = invoice(
        id="in_4", number="A-0004", customer="cus_4", customer_address={"country": "AT"}
    )
    desk.hears(event("invoice.payment_failed", theirs))
    token = token_for(KEY, case_id("stripe", "in_4"), "pay", desk.now)
    text = desk.sees(token, Accept_Language="fr").body.decode()
    assert '<html lang="de" dir="ltr">' in text
    assert "Ihre Zahlung von € 49,00 ist fehlgeschlagen" in text.replace("\u00a0", " ")
    for asked, language in (
        ("xx, fi;q=0.9, de-AT;q=0.8, fr;q=0.5", "de"),
        ("ja;q=0.1", "ja"),
        ("fi, en;q=0.9, de;q=0.8", "en"),
        ("pt-PT", "pt-BR"),
        ("", "en"),
        (", ".join(["x" * 300, "de;q=9", "*", "en;q=", ";", "\xe9"] * 9), "en"),
    ):
        plain = desk.sees("rcv_pay_none", Accept_Language=asked).body.decode()
        assert f'<html lang="{language}"' in plain, asked


def test_a_name_with_markup_is_only_a_name(migrated_url: str, tmp_path: Path) -> None:
    named = {"DUNNING_COMPANY": "<script>alert(1)</script> & Söhne"}
    with desk_on(migrated_url, tmp_path, environ=named) as desk:
        body = desk.sees().body.decode()
        assert "<script" not in body
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Söhne" in body


def test_an_invoice_of_another_customer_is_not_listed(desk: Desk) -> None:
    desk.hears(
        event("invoice.payment_failed", invoice(id="in_2", number="A-0002", customer="cus_2"))
    )
    assert "A-0002" not in page(desk.sees(), 200, OWED)
    desk.hears(later(event("invoice.payment_failed", invoice(id="in_3", number="A-0003")), 60))
    text = page(desk.sees(), 200, "2 invoices are not paid yet")
    assert "A-0003" in text
    assert "A-0002" not in text
    assert "€98.00" in text
