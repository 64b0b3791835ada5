"""Links that have grown old, were taken back, or were signed with a former key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

from dunning import links
from dunning.acts import Person
from dunning.core.ports import Bounced, Doubtful, Unsent
from dunning.errors import NotFoundError
from dunning.revoking import Revoking
from tests.providers.stripe.bodies import ended_invoice, event, invoice
from tests.stages.kit import later
from tests.web.visiting import IRELAND, KEY, PUBLIC, Desk, desk_on, page

OWED = "Your payment of €49.00 did not go through"
OLD = "This link is too old"
SENT = "A new link is on its way"
BEFORE = "We have already sent you a new link"
NOT_SENT = "We cannot send a link right now"
REVOKED = "This link is no longer valid"
NEW_KEY = "a-newer-key-of-the-tests-that-signs-links"


@pytest.fixture
def desk(migrated_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_on(migrated_url, tmp_path) as desk:
        yield desk


def without_moment(desk: Desk) -> str:
    """A link as messages had them before links said when they were made."""
    name = desk.case.id.removeprefix("case_")
    return f"rcv_pay_{name}_{links._sign(KEY, f'pay:{desk.case.id}')}"


def test_an_old_link_is_sent_anew_to_the_address_on_record(desk: Desk) -> None:
    token = desk.token("card")
    desk.edge.clock.passes(days=60)
    page(desk.sees(token), 200, OWED)
    desk.edge.clock.passes(seconds=1)
    text = page(desk.sees(token), 410, OLD)
    assert "49" not in text
    assert desk.facts.page_opened_at is not None
    # Its buttons are as old as it is.
    page(desk.pays(token), 410, OLD)
    page(desk.presses("promise", token, until="2026-11-22"), 410, OLD)
    assert desk.pages.asked == []
    page(desk.presses("link", token), 200, SENT)
    (letter,) = desk.post.letters
    assert letter.to == "ada@example.org"
    assert letter.reply_to == "help@example.com"
    fresh = re.search(rf"{PUBLIC}/pay/(rcv_card_\w+)", letter.text)
    assert fresh is not None
    assert fresh[0] in letter.html
    page(desk.sees(fresh[1]), 200, OWED)
    (row,) = desk.messages()
    assert (row.template, row.state, row.reference) == ("new_link", "sent", "250")
    assert (row.case_id, row.recipient) == (desk.case.id, "ada@example.org")
    # Once a day, whoever asks.
    page(desk.presses("link", token), 200, BEFORE)
    assert len(desk.post.letters) == 1
    desk.edge.clock.passes(days=1)
    page(desk.presses("link", token), 200, SENT)
    assert len({letter.id for letter in desk.post.letters}) == 2


def test_of_many_presses_at_once_one_letter_goes(desk: Desk) -> None:
    token, together = desk.token(), Barrier(5)
    desk.edge.clock.passes(days=61)

    def press() -> None:
        together.wait(30)
        desk.presses("link", token)

    threads = [Thread(target=press) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(desk.post.letters) == len(desk.messages()) == 1


def test_what_did_not_leave_is_tried_again_and_what_may_have_left_is_not(desk: Desk) -> None:
    token = desk.token()
    desk.edge.clock.passes(days=61)
    desk.post.answer = Unsent(why="away")
    page(desk.presses("link", token), 503, NOT_SENT)
    assert desk.messages() == []
    desk.post.answer = Doubtful(why="the line broke")
    page(desk.presses("link", token), 200, SENT)
    page(desk.presses("link", token), 200, BEFORE)
    assert [row.state for row in desk.messages()] == ["doubtful"]
    # Whether an address takes mail is not told to whoever holds a link.
    desk.edge.clock.passes(days=1)
    desk.post.answer = Bounced(why="no such mailbox")
    page(desk.presses("link", token), 200, SENT)
    assert [row.state for row in desk.messages()] == ["doubtful", "bounced"]


def test_a_good_link_is_not_sent_anew(desk: Desk) -> None:
    answer = desk.presses("link")
    assert answer.status == 303
    assert desk.post.letters == []


def test_of_a_debt_that_is_settled_no_link_is_sent(desk: Desk) -> None:
    token = desk.token()
    void = {**ended_invoice("void", "voided_at"), "customer_address": IRELAND}
    desk.hears(later(event("invoice.voided", void), 600))
    desk.edge.clock.passes(days=61)
    page(desk.sees(token), 410, "Nothing to pay")
    page(desk.presses("link", token), 410, "Nothing to pay")
    assert desk.post.letters == []


def test_a_link_without_a_moment_is_as_old_as_its_case(desk: Desk) -> None:
    token = without_moment(desk)
    page(desk.sees(token), 200, OWED)
    assert desk.edge.get(f"/r/{token}").headers["location"] == f"../pay/{token}"
    desk.edge.clock.passes(days=61)
    page(desk.sees(token), 410, OLD)
    page(desk.presses("link", token), 200, SENT)


def test_how_long_a_link_is_good_is_a_setting(migrated_url: str, tmp_path: Path) -> None:
    with desk_on(migrated_url, tmp_path, environ={"DUNNING_LINK_DAYS": "3"}) as desk:
        token = desk.token()
        desk.edge.clock.passes(days=3)
        page(desk.sees(token), 200, OWED)
        desk.edge.clock.passes(seconds=1)
        assert "a link works for 3 days" in page(desk.sees(token), 410, OLD)


def test_links_taken_back_lead_nowhere_and_newer_ones_do(desk: Desk) -> None:
    tokens = [desk.token(), desk.token("card"), without_moment(desk)]
    desk.edge.clock.passes(minutes=1)
    revoking = Revoking(desk.edge.program.engine)
    person = Person(by="ops", why="it was forwarded", now=desk.now)
    assert revoking.of_case(desk.case.id, person) == [desk.case.id]
    for token in tokens:
        page(desk.sees(token), 410, REVOKED)
        for button in ("card", f"invoice/{desk.case.id[5:15]}", "promise", "link"):
            page(desk.presses(button, token, until="2026-09-25"), 410, REVOKED)
    assert (desk.pages.asked, desk.post.letters, desk.facts.promises) == ([], [], ())
    desk.edge.clock.passes(seconds=1)
    page(desk.sees(desk.token()), 200, OWED)
    # However old: what was taken back is not sent anew either.
    desk.edge.clock.passes(days=90)
    page(desk.sees(tokens[0]), 410, REVOKED)


def test_all_links_of_a_customer_can_be_taken_back(desk: Desk) -> None:
    desk.hears(later(event("invoice.payment_failed", invoice(id="in_3", number="A-0003")), 60))
    revoking = Revoking(desk.edge.program.engine)
    person = Person(by="ops", why="they asked", now=desk.now)
    assert len(revoking.of_customer("stripe", "cus_1", person)) == 2
    page(desk.sees(), 410, REVOKED)
    with pytest.raises(NotFoundError, match="no case of cus_9 at stripe"):
        revoking.of_customer("stripe", "cus_9", person)


def test_a_key_is_rolled_without_a_link_lost(migrated_url: str, tmp_path: Path) -> None:
    both = {"DUNNING_SECRET_KEY": f"{NEW_KEY},{KEY}"}
    with desk_on(migrated_url, tmp_path, environ=both) as desk:
        page(desk.sees(desk.token(key=KEY)), 200, OWED)
        page(desk.sees(desk.token(key=NEW_KEY)), 200, OWED)
        old = desk.token(key=KEY)
        desk.edge.clock.passes(days=61)
        page(desk.presses("link", old), 200, SENT)
        fresh = re.search(r"/pay/(rcv_\w+)", desk.post.letters[0].text)
        assert fresh is not None
        assert links.read_token((NEW_KEY,), fresh[1]) is not None
