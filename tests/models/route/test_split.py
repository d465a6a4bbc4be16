"""Shares in proportion to weights; the same key, the same model."""

from collections import Counter
from dataclasses import replace
from random import Random

from sourcebook.models.base import ModelRequest, complete
from sourcebook.models.route import Split
from tests.models.route.scripted import DONE, Scripted
from tests.models.route.virtual import virtually

MODELS = [Scripted(name, [name, DONE]) for name in "abc"]


def by_tenant(request: ModelRequest) -> str:
    return request.tenant


@virtually
async def test_shares_follow_the_weights() -> None:
    split = Split(MODELS, [3, 1, 0], random=Random(1))
    taken = Counter([(await complete(split, ModelRequest())).text for _ in range(2000)])
    assert taken["c"] == 0
    assert 0.72 < taken["a"] / 2000 < 0.78


def test_a_seed_makes_the_same_choices() -> None:
    def choices(seed: int) -> list[str]:
        split = Split(MODELS, [1, 1, 1], random=Random(seed))
        return [split.order(ModelRequest())[0].name for _ in range(50)]

    assert choices(1) == choices(1)
    assert choices(1) != choices(2)


def test_a_key_stays_with_its_model_and_keys_are_shared_out_by_weight() -> None:
    split = Split(MODELS, [3, 1, 0], key=by_tenant)
    requests = [replace(ModelRequest(), tenant=str(number)) for number in range(2000)]
    first = [split.order(one)[0].name for one in requests]
    assert first == [split.order(one)[0].name for one in requests]
    assert 0.72 < Counter(first)["a"] / 2000 < 0.78


def test_half_a_character_in_a_key_is_a_key_like_any_other() -> None:
    split = Split(MODELS, [1, 1, 1], key=by_tenant)
    halved = ModelRequest(tenant="cut \ud83d")
    assert split.order(halved) == split.order(halved)


def test_changed_weights_move_no_more_keys_than_they_must() -> None:
    requests = [replace(ModelRequest(), tenant=str(number)) for number in range(2000)]
    before = [Split(MODELS, [1, 1, 0], key=by_tenant).order(one)[0].name for one in requests]
    after = [Split(MODELS, [1, 1, 1], key=by_tenant).order(one)[0].name for one in requests]
    moved = [(one, other) for one, other in zip(before, after, strict=True) if one != other]
    assert {other for _, other in moved} == {"c"}
    assert 0.28 < len(moved) / 2000 < 0.38


def test_the_order_has_all_models_those_without_weight_last() -> None:
    split = Split(MODELS, [1, 0, 5], random=Random(1))
    orders = [[one.name for one in split.order(ModelRequest())] for _ in range(100)]
    assert all(sorted(order) == ["a", "b", "c"] and order[2] == "b" for order in orders)
