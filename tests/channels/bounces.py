"""Bounces and complaints as mail servers really write them, about a message of ours."""

from __future__ import annotations

OURS = "case_abc.email.2@acme.example"
TO = "ann@customer.example"


def _crlf(text: str) -> bytes:
    return text.lstrip("\n").replace("\n", "\r\n").encode()


def postfix(
    *,
    to: str = TO,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "550 5.1.1 <ann@customer.example>: Recipient address rejected: User unknown",
    ours: str = OURS,
    name: str = "20260302100001.AB12@mx.acme.example",
) -> bytes:
    return _crlf(f"""
Return-Path: <>
From: MAILER-DAEMON@mx.acme.example (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: billing@acme.example
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="AB12.1772445601/mx.acme.example"
Message-Id: <{name}>

This is a MIME-encapsulated message.

--AB12.1772445601/mx.acme.example
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

<{to}>: host mx.customer.example[203.0.113.7] said: {said}

--AB12.1772445601/mx.acme.example
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.acme.example
X-Postfix-Queue-ID: AB12
Arrival-Date: Mon,  2 Mar 2026 10:00:00 +0000 (UTC)

Final-Recipient: rfc822; {to}
Original-Recipient: rfc822;{to}
Action: {action}
Status: {status}
Remote-MTA: dns; mx.customer.example
Diagnostic-Code: smtp; {said}

--AB12.1772445601/mx.acme.example
Content-Description: Undelivered Message Headers
Content-Type: text/rfc822-headers

Return-Path: <billing@acme.example>
From: Acme <billing@acme.example>
To: Ann Lee <{to}>
Subject: Your payment did not go through
Message-ID: <{ours}>

--AB12.1772445601/mx.acme.example--
""")


EXCHANGE = _crlf(f"""
From: postmaster@customer.example
To: billing@acme.example
Date: Mon, 2 Mar 2026 10:00:09 +0000
Content-Type: multipart/report; report-type=delivery-status;
 boundary="9b2c-1"
Message-ID: <77aa@DB7PR01.customer.example>
In-Reply-To: <{OURS}>
References: <{OURS}>
Subject: Undeliverable: Your payment did not go through
MIME-Version: 1.0

--9b2c-1
Content-Type: multipart/alternative; boundary="9b2c-2"

--9b2c-2
Content-Type: text/plain; charset="us-ascii"
Content-Transfer-Encoding: quoted-printable

Your message to ann@customer.example couldn't be delivered.
ann wasn't found at customer.example.

--9b2c-2
Content-Type: text/html; charset="us-ascii"

<html><body>ann wasn't found</body></html>
--9b2c-2--

--9b2c-1
Content-Type: message/delivery-status

Reporting-MTA: dns;DB7PR01.customer.example

Final-recipient: RFC822;ann@customer.example
Action: failed
Status: 5.1.10
Diagnostic-code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ann@customer.exa
\tmple not found by SMTP address lookup

--9b2c-1
Content-Type: message/rfc822

Received: from mx.acme.example by DB7PR01.customer.example
From: Acme <billing@acme.example>
To: Ann Lee <ann@customer.example>
Message-ID: <{OURS}>
Subject: Your payment did not go through
Content-Type: multipart/alternative; boundary="=_x"

--=_x
Content-Type: text/plain

Hello
--=_x--
--9b2c-1--
""")

EXIM = _crlf(f"""
Return-path: <>
From: Mail Delivery System <Mailer-Daemon@mx.acme.example>
To: billing@acme.example
X-Failed-Recipients: ann@customer.example
Auto-Submitted: auto-replied
Subject: Mail delivery failed: returning message to sender
Message-Id: <E1rabc-0001@mx.acme.example>

This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  ann@customer.example
    host mx.customer.example [203.0.113.7]
    SMTP error from remote mail server after RCPT TO:<ann@customer.example>:
    550 No Such User Here

------ This is a copy of the message, including all the headers. ------

Return-path: <billing@acme.example>
From: Acme <billing@acme.example>
To: Ann Lee <ann@customer.example>
Message-ID: <{OURS}>

Hello
""")

QMAIL = _crlf(f"""
From: MAILER-DAEMON@mx.acme.example
To: billing@acme.example
Subject: failure notice

Hi. This is the qmail-send program at mx.acme.example.
I'm afraid I wasn't able to deliver your message to the following addresses.

<ann@customer.example>:
203.0.113.7 does not like recipient.
Remote host said: 552 5.2.2 mailbox full
Giving up on 203.0.113.7.

--- Below this line is a copy of the message.

Return-Path: <billing@acme.example>
Message-ID: <{OURS}>
To: Ann Lee <ann@customer.example>
""")


def complaint(kind: str = "abuse", ours: str = OURS) -> bytes:
    return _crlf(f"""
From: <feedback@arf.mail.customer.example>
To: fbl@acme.example
Subject: FW: Your payment did not go through
Message-ID: <arf-1@mail.customer.example>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part1"

--part1
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report for an email message.

--part1
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <billing@acme.example>
Original-Rcpt-To: <{TO}>

--part1
Content-Type: message/rfc822

From: <billing@acme.example>
To: <{TO}>
Message-ID: <{ours}>
Subject: Your payment did not go through

Hello
--part1--
""")


HOLIDAY = _crlf(f"""
Return-Path: <>
From: Ann Lee <ann@customer.example>
To: billing@acme.example
Auto-Submitted: auto-replied
Subject: Out of office
In-Reply-To: <{OURS}>
Message-ID: <ooo-1@customer.example>

I am away until 5.1.2027. In urgent cases call extension 550 4.
""")

ANSWER = _crlf(f"""
From: Ann Lee <ann@customer.example>
To: billing@acme.example
Subject: Re: Your payment did not go through
In-Reply-To: <{OURS}>
Message-ID: <re-1@customer.example>

I have paid. No such user here who would not!
""")
