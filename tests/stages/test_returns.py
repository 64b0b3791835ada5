"""Bounces and complaints, taken in: what they do to the message and to the address, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from dunning import addresses
from dunning.channels.returned.reports import read
from dunning.core.addresses import message_name
from dunning.core.returned import Fate, Returned
from dunning.returns import Taken, take
from dunning.store import BadAddressRow, MessageRow, ReturnRow, transaction
from tests.builders import SOURCE, days
from tests.channels.bounces import complaint, postfix
from tests.stages.kit import Stage, Together

ANN = "Ann@customer.example"
NO_ONE = Returned(key="k", fate=Fate.PERMANENT, why="550 5.1.1 nobody", addresses=(ANN,))


class Post:
    """Messages on record, and reports about them."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.keys = iter(range(1000))

    def sent(
        self, case: str = "case_a", number: int = 1, *, day: float = 0, to: str = ANN,
        reference: str = "250 2.0.0 Ok: queued as 4F2A", state: str = "sent",
    ) -> str:  # fmt: skip
        key = f"{case}/email:{number}"
        with transaction(self.stage.engine) as session:
            session.add(
                MessageRow(
                    step_key=key, case_id=case, source=SOURCE, customer="cus_1", template="t",
                    recipient=to, locale="en", subject="s", state=state, at=days(day),
                    reference=reference,
                )
            )  # fmt: skip
        return key

    def comes(self, told: Returned, *, day: float = 1, via: str = "mailbox") -> Taken:
        with transaction(self.stage.engine) as session:
            return take(session, told, via, days(day))

    def lost(self, key: str, *, day: float = 1) -> Taken:
        """It did not arrive, for a reason that says nothing of the address."""
        told = self.about(key, fate=Fate.TEMPORARY, why="452 4.2.2 mailbox full")
        return self.comes(told, day=day)

    def about(self, key: str, fate: Fate = Fate.PERMANENT, why: str = "550 5.1.1") -> Returned:
        named = (f"{message_name(key)}@acme.example",)
        mark = f"k{next(self.keys)}"
        return Returned(key=mark, fate=fate, why=why, addresses=(ANN,), message_ids=named)

    def message(self, key: str) -> tuple[str, str]:
        with transaction(self.stage.engine) as session:
            row = session.get_one(MessageRow, key)
            return row.state, row.why

    def mark(self, address: str = ANN) -> tuple[str, str, str | None] | None:
        with transaction(self.stage.engine) as session:
            row = addresses.is_bad(session, address)
            return (row.kind, row.why, row.reference) if row else None


@pytest.fixture
def post(stage: Stage) -> Iterator[Post]:
    return Post(stage)  # type: ignore[return-value]


def test_a_bounce_that_names_our_message_marks_its_address(post: Post) -> None:
    key = post.sent("case_abc", 2)
    (told,) = read(postfix())
    taken = post.comes(told)
    assert (taken.step_key, taken.proven, taken.marked) == (key, True, True)
    state, why = post.message(key)
    assert state == "bounced"
    assert why.startswith("550 5.1.1 <ann@customer.example>")
    assert post.mark() == ("bounce", why, key)
    (row,) = post.stage.all(ReturnRow)
    assert (row.address, row.kind, row.via, row.status) == (
        "ann@customer.example",
        "permanent",
        "mailbox",
        "5.1.1",
    )


def test_a_complaint_marks_the_address_and_the_message(post: Post) -> None:
    key = post.sent("case_abc", 2)
    (told,) = read(complaint())
    assert post.comes(told).marked
    assert post.message(key) == ("complained", "reported as abuse (SomeGenerator/1.0)")
    mark = post.mark()
    assert mark is not None
    assert mark[0] == "complaint"


def test_the_same_report_again_changes_nothing(post: Post) -> None:
    key = post.sent("case_abc", 2)
    (told,) = read(postfix())
    assert not post.comes(told).known
    with transaction(post.stage.engine) as session:
        addresses.clear(session, ANN, by="eve", why="she has a new one", now=days(2))
    again = post.comes(told, day=3)
    assert (again.known, again.marked, again.step_key) == (True, False, key)
    assert post.mark() is None
    assert len(post.stage.all(ReturnRow)) == 1


def test_many_who_take_the_same_report_in_at_once_do_it_once(post: Post) -> None:
    post.sent("case_abc", 2)
    (told,) = read(postfix())
    given = Together(*[lambda: post.comes(told)] * 4).given
    assert sorted(one.known for one in given) == [False, True, True, True]
    assert len(post.stage.all(BadAddressRow)) == 1


def test_one_that_is_delayed_is_only_kept(post: Post) -> None:
    key = post.sent()
    post.comes(post.about(key, Fate.DELAYED, "4.4.1 timed out"))
    assert post.message(key) == ("sent", "")
    assert [row.kind for row in post.stage.all(ReturnRow)] == ["delayed"]


def test_the_third_in_a_row_that_did_not_arrive_marks_the_address(post: Post) -> None:
    keys = [post.sent(number=number, day=number) for number in (1, 2, 3)]
    assert not post.lost(keys[0]).marked
    assert post.message(keys[0]) == ("bounced", "452 4.2.2 mailbox full")
    post.comes(post.about(keys[0], Fate.TEMPORARY))  # a second report of the same email
    assert not post.lost(keys[1], day=2).marked
    assert post.lost(keys[2], day=3).marked
    mark = post.mark()
    assert mark is not None
    assert mark[0] == "bounce"
    assert mark[1] == "3 emails in a row did not arrive; the last: 452 4.2.2 mailbox full"


def test_one_that_arrived_between_breaks_the_row(post: Post) -> None:
    keys = [post.sent(number=number, day=number) for number in (1, 2, 3, 4)]
    marked = [post.lost(keys[number], day=4).marked for number in (0, 1, 3)]
    assert marked == [False, False, False]


def test_one_that_was_sent_after_them_may_still_come_back(post: Post) -> None:
    keys = [post.sent(number=number, day=number) for number in (1, 2, 3, 4)]
    assert [post.lost(key, day=4).marked for key in keys[:3]] == [False, False, True]


def test_what_was_lost_before_a_person_cleared_the_address_does_not_count(post: Post) -> None:
    keys = [post.sent(number=number, day=number) for number in (1, 2, 3)]
    for key in keys:
        post.lost(key, day=4)
    with transaction(post.stage.engine) as session:
        addresses.clear(session, ANN, by="eve", why="has room again", now=days(5))
    later = post.sent(number=4, day=6)
    assert not post.lost(later, day=7).marked


# --- what nobody proved ------------------------------------------------------------------------


def test_a_bounce_that_only_names_a_recipient_marks_nothing_at_once(post: Post) -> None:
    key = post.sent()
    taken = post.comes(NO_ONE)
    assert (taken.step_key, taken.proven, taken.marked) == (key, False, False)
    assert taken.fate is Fate.TEMPORARY
    assert post.message(key) == ("sent", "")


def test_three_of_those_about_three_emails_do(post: Post) -> None:
    marked = []
    for number in (1, 2, 3):
        post.sent(number=number, day=number)
        marked.append(post.comes(replace(NO_ONE, key=f"k{number}"), day=number + 0.1).marked)
        again = post.comes(replace(NO_ONE, key=f"again{number}"), day=number + 0.2)
        assert not again.marked, "a pile of them about one email is one"
    assert marked == [False, False, True]


def test_an_unproven_complaint_is_only_kept(post: Post) -> None:
    key = post.sent()
    assert not post.comes(replace(NO_ONE, fate=Fate.COMPLAINT)).marked
    assert post.message(key) == ("sent", "")
    assert post.mark() is None


def test_a_service_that_proved_who_it_is_need_not_name_the_message(post: Post) -> None:
    post.sent(number=1)
    key = post.sent(number=2, day=0.5)
    taken = post.comes(replace(NO_ONE, trusted=True, message_ids=("its-own",)), via="postmark")
    assert (taken.step_key, taken.marked) == (key, True)
    assert post.message(key)[0] == "bounced"


def test_a_bounce_of_the_copy_for_staff_says_nothing_of_the_customer(post: Post) -> None:
    key = post.sent()
    told = replace(post.about(key), addresses=("archive@acme.example",))
    taken = post.comes(told)
    assert (taken.step_key, taken.proven, taken.marked) == (key, False, False)
    assert post.message(key) == ("sent", "")


def test_a_name_that_the_mail_server_gave_the_message_proves_it(post: Post) -> None:
    key = post.sent(reference="250 Ok 0102018f3a-42d2-000000")
    ses = replace(NO_ONE, message_ids=("0102018f3a-42d2-000000@eu-west-1.amazonses.com",))
    assert post.comes(ses).marked
    assert post.message(key)[0] == "bounced"


@pytest.mark.parametrize(
    "change",
    [
        lambda told: replace(told, message_ids=("case_zzz.email.1@acme.example",)),
        lambda told: replace(told, message_ids=("newsletter-17@acme.example",)),
        lambda told: replace(told, addresses=("bob@customer.example",)),
        lambda told: replace(told, addresses=()),
        lambda told: replace(told, message_ids=("queued@x",)),
    ],
)
def test_what_is_about_no_email_of_ours_is_kept_and_not_acted_on(
    post: Post, change: Callable[[Returned], Returned]
) -> None:
    key = post.sent()
    taken = post.comes(change(NO_ONE))
    assert (taken.step_key, taken.marked) == (None, False)
    assert post.message(key) == ("sent", "")
    assert len(post.stage.all(ReturnRow)) == 1


def test_a_bounce_that_comes_weeks_later_is_about_something_else(post: Post) -> None:
    post.sent()
    assert post.comes(NO_ONE, day=20).step_key is None


def test_one_in_doubt_that_comes_back_has_bounced(post: Post) -> None:
    key = post.sent(state="doubtful")
    post.comes(post.about(key))
    assert post.message(key)[0] == "bounced"
