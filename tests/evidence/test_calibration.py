"""The intervals hold what they say: made-up histories whose truth is known, with fixed seeds."""

from __future__ import annotations

import pytest

from dunning.core.policy import Policy
from dunning.evidence.history import Figure, fits, simulate
from tests.evidence.made_up import DENSE, SPARSE, customers, history, truth

WORLDS = 12
MANY = 150
TURNS = 80


def of(figures: list[Figure], name: str) -> Figure:
    return next(figure for figure in figures if figure.name == name)


@pytest.mark.parametrize(("own", "other"), [(SPARSE, DENSE), (DENSE, SPARSE)])
def test_the_interval_covers_the_truth_about_as_often_as_it_says(
    own: Policy, other: Policy
) -> None:
    covered = 0
    widths, errors = [], []
    for seed in range(WORLDS):
        people = customers(MANY, seed)
        made = simulate(
            history(people, own, seed), lambda _: other, seed=seed, turns=TURNS, check=False
        )
        told = of(made.figures, "recovered_cases").estimate
        real = truth(people, other)
        covered += told.low <= real <= told.high
        widths.append(told.half)
        errors.append(abs(told.value - real))
    # 95 % is said: of twelve worlds nine or fewer would come about once in three hundred times.
    assert covered >= 10
    # And it is no interval that holds everything.
    assert sum(widths) / WORLDS < 0.16 * MANY
    assert sum(errors) / WORLDS < 0.07 * MANY


def test_another_policy_that_brings_more_is_seen_to_do_so() -> None:
    people = customers(400, 5)
    made = simulate(history(people, SPARSE, 5), lambda _: DENSE, seed=5, turns=TURNS, check=False)
    assert of(made.figures, "recovered_cases").apart.low > 0
    assert truth(people, DENSE) > truth(people, SPARSE) + 40


def test_the_very_policy_that_walked_the_history_gives_it_back_to_the_unit() -> None:
    records = history(customers(MANY, 3), SPARSE, 3)
    made = simulate(records, lambda _: SPARSE, seed=3, turns=40, check=False)
    for figure in made.figures:
        assert figure.estimate.value == pytest.approx(figure.really)
        assert (figure.apart.low, figure.apart.high) == pytest.approx((0, 0), abs=1e-6)
    assert made.basis["usd"].known == MANY
    assert made.basis["usd"].estimated_part == 0


def test_so_it_does_when_nothing_is_taken_as_known() -> None:
    inside = 0
    for seed in range(WORLDS):
        records = history(customers(MANY, seed), SPARSE, seed)
        made = simulate(records, lambda _: SPARSE, seed=seed, turns=TURNS)
        inside += fits(made.check)
        told = of(made.check, "recovered_cases")
        assert told.estimate.low < told.estimate.value < told.estimate.high
    assert inside >= WORLDS - 1


def test_a_method_that_does_not_fit_is_found_out() -> None:
    records = history(customers(MANY, 4), SPARSE, 4)
    figure = of(simulate(records, lambda _: SPARSE, seed=4, turns=40).check, "recovered_cases")
    wrong = Figure(
        figure.currency, figure.name, figure.really / 3, figure.estimate, figure.apart, None
    )
    assert fits([figure])
    assert not fits([wrong])


def test_the_same_seed_gives_the_same_answer() -> None:
    records = history(customers(60, 6), SPARSE, 6)
    one, same, other = (
        simulate(records, lambda _: DENSE, seed=seed, turns=30, check=False).figures
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other
