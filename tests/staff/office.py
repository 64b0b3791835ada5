"""The merchant's own people: a mail server and a chat room that are real, beside a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from email import policy as email_policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlmodel import SQLModel, col

from dunning.core.events import BillingEvent, StepKind, StepResult
from dunning.staff import Staff
from dunning.store import CaseRow, StaffNoticeRow, StepRow, transaction
from tests.builders import CUSTOMER, SOURCE, T0, bill, failed
from tests.channels import application, mail
from tests.secrets import MARK
from tests.stages.kit import ManualClock
from tests.stages.parts import acting, program_on

ANN, BEN = "ann@staff.example", "ben@staff.example"
HOOK = f"services/T1/{MARK}OfTheChatRoom"
POLICY = """
version: 1
policies:
  standard:
    grace: 14d
    window: 28d
    timeline:
      - {at: 0h, do: email, template: payment_failed}
      - {at: 14d, do: suspend}
"""


class Office:
    """What staff got, and the program that tells them."""

    def __init__(
        self, program: Any, clock: ManualClock, postbox: mail.Postbox, room: application.Application
    ) -> None:
        self.program = program
        self.clock = clock
        self.postbox = postbox
        self.room = room
        self.staff: Staff = program.staff

    def colleague(self) -> Staff:
        """Another process that does the same."""
        program, ways = self.program, self.staff.ways
        return Staff(program.engine, program.policies, ways, finance=self.staff.finance.ways)

    def tick(self, **passed: float) -> None:
        """Time passes, and staff are told."""
        self.staff.tick(self.clock.passes(**passed))

    def told(self) -> None:
        """Long enough for what was found to be gathered and sent."""
        self.tick()
        self.tick(minutes=2)

    # --- what happens --------------------------------------------------------------------------

    def tell(self, *events: BillingEvent, now: datetime | None = None) -> None:
        with transaction(self.program.engine) as session:
            self.program.cases.apply(session, SOURCE, "stripe", events, now or self.clock.now())

    def fails(self, number: int = 1, amount: int = 4900, currency: str = "usd", **more: Any) -> str:
        """A payment fails now; the id of its case."""
        at = self.clock.now()
        about = {"invoice": f"in_{number}", "customer": f"{CUSTOMER}_{number}", **more}
        told = replace(bill(amount), currency=currency, **about)
        self.tell(failed(at, told, id=f"evt_failed_{number}"))
        with transaction(self.program.engine) as session:
            query = select(col(CaseRow.id)).where(col(CaseRow.invoice) == told.invoice)
            return str(session.execute(query).scalar_one())

    def step(
        self, case: str, kind: StepKind, result: StepResult = StepResult.DONE, why: str = ""
    ) -> None:
        """A step of the case ended now."""
        at = self.clock.now()
        self.add(
            StepRow(
                key=f"{case}/{kind.value}:{at:%H%M%S%f}",
                case_id=case,
                kind=kind.value,
                state="ended",
                result=result.value,
                why=why,
                due_at=at,
                started_at=at,
                first_started_at=at,
                ended_at=at,
            )
        )

    def add(self, *rows: SQLModel) -> None:
        with transaction(self.program.engine) as session:
            session.add_all(rows)

    # --- what came -----------------------------------------------------------------------------

    def mails(self, to: str = ANN) -> list[EmailMessage]:
        found = []
        for envelope in self.postbox.envelopes:
            if envelope.rcpt_tos == [to]:
                assert isinstance(envelope.content, bytes)
                parsed = BytesParser(policy=email_policy.default).parsebytes(envelope.content)
                assert isinstance(parsed, EmailMessage)
                found.append(parsed)
        return found

    def subjects(self, to: str = ANN) -> list[str]:
        return [str(message["subject"]) for message in self.mails(to)]

    def chats(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.room.calls]

    def rows(self) -> list[StaffNoticeRow]:
        with transaction(self.program.engine) as session:
            query = select(StaffNoticeRow).order_by(col(StaffNoticeRow.id))
            return list(session.scalars(query))


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def html_of(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    return str(part.get_content())


@contextmanager
def office(
    url: str,
    folder: Path,
    staff: str = "",
    *,
    emails: str = ANN,
    finance: str = "",
    chat: bool = True,
    start: datetime = T0,
) -> Iterator[Office]:
    """The program with `staff:` as given; its first look is over, with nothing to see."""
    clock, postbox, room = ManualClock(start), mail.Postbox(), application.Application()
    with ExitStack() as stack:
        smtp = stack.enter_context(mail.serving(postbox))
        hook = stack.enter_context(application.serving(room))
        environ = {
            "DUNNING_SMTP_URL": f"smtp://{smtp}",
            "DUNNING_MAIL_FROM": "Billing <billing@acme.example>",
            **({"DUNNING_STAFF_EMAIL": emails} if emails else {}),
            **({"DUNNING_FINANCE_EMAIL": finance} if finance else {}),
            **({"DUNNING_STAFF_WEBHOOK_URL": f"http://{hook}/{HOOK}"} if chat else {}),
        }
        program = stack.enter_context(
            program_on(
                url,
                folder,
                clock=clock,
                provider=acting(),
                environ=environ,
                policy_text=POLICY + staff,
            )
        )
        yield Office(program, clock, postbox, room)
