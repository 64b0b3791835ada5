"""At which seeds each planted bug shows; those seeds hold without it. Made by `finding.py`."""

from __future__ import annotations

# Too rare to be met by a seed, or dear: a world of its own shows it, in the module named.
SCRIPTED = {
    "the_last_view_wins": "test_debits_in_process",
    "a_zone_that_is_learned_late_moves_no_day": "test_replay",
}
CATCHES: dict[str, tuple[int, ...]] = {
    "a_late_holder_writes": (59,),
    "each_try_has_a_key_of_its_own": (1,),
    "the_age_of_a_key_is_not_asked": (1067,),
    "a_claim_has_no_lease": (0,),
    "a_lease_never_ends": (8,),
    "an_email_in_doubt_is_sent_again": (14,),
    "what_was_begun_is_forgotten": (14,),
    "not_known_is_taken_for_not_sent": (106,),
    "what_was_begun_is_not_ended": (8,),
    "nobody_looks_before_a_charge": (26,),
    "nobody_looks_before_an_email": (71,),
    "nobody_looks_before_access_changes": (125,),
    "an_event_is_kept_each_time_it_comes": (0,),
    "some_events_are_answered_and_not_kept": (0,),
    "nothing_is_swept": (25,),
    "a_debit_in_process_stops_nothing": (17,),
    "a_dispute_stops_nothing": (42,),
    "a_hold_stops_nothing": (221,),
    "the_next_step_is_not_computed_anew": (8,),
    "every_customer_lives_in_greenwich": (4,),
    "access_is_not_restored": (0,),
    "a_payment_after_the_end_is_ignored": (0,),
    "calls_leave_in_any_order": (25,),
    "a_call_that_failed_is_dropped": (115,),
    "missed_rungs_are_all_fired": (58,),
    "nothing_is_taken_back_in_the_ledger": (11,),
    "a_card_may_be_asked_for_ever": (7,),
    "nothing_is_recalled": (53,),
    "a_day_is_anybodys": (2,),
    "nobody_looks_at_the_other_debts": (1492,),
    "a_day_is_taken_by_who_sent_nothing": (2,),
    "a_door_does_not_wait_for_its_notice": (22,),
    "a_notice_is_told_after_the_new_card": (9,),
    "a_notice_takes_no_day": (9,),
    "nothing_is_seen_ahead": (269,),
    "a_bad_address_is_written_to": (109,),
}
