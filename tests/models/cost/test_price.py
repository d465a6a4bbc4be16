"""Prices to the micro-dollar, estimates that bound them, pictures by the vendors' rules."""

import struct
import zlib
from dataclasses import replace
from datetime import date
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcebook.models.base import Image, Message, ModelRequest, Thought, Tool, ToolCall
from sourcebook.models.cost.images import image_size, image_tokens
from sourcebook.models.cost.known import ImageRule, Overhead, Rates, known
from sourcebook.models.cost.price import estimate, price, prompt_tokens
from sourcebook.models.cost.tokens import Estimating, counter_for
from sourcebook.types import Usage
from tests.models.cost.doubles import KNOWN, Characters, asked

TOKENS = st.integers(0, 3_000_000)


def test_a_call_as_the_vendor_would_bill_it() -> None:
    model = known("anthropic", "claude-sonnet-4-5")
    assert model is not None
    usage = Usage(
        input_tokens=10_000, cached_tokens=6_000, cache_write_tokens=1_000, output_tokens=500, reasoning_tokens=300
    )
    # 3,000 at $3, 6,000 at $0.30, 1,000 at $3.75 and 500 at $15 a million
    assert price(usage, model) == 9_000 + 1_800 + 3_750 + 7_500


def test_long_prompts_are_priced_as_a_whole() -> None:
    model = known("gemini", "gemini-2.5-pro")
    assert model is not None
    assert price(Usage(input_tokens=200_000, output_tokens=100), model) == 250_000 + 1_000
    assert price(Usage(input_tokens=200_001, output_tokens=100), model) == 500_003 + 1_500


def test_the_day_of_the_call_decides() -> None:
    model = replace(KNOWN, rates=(*KNOWN.rates, Rates(input=9_000_000, output=9_000_000, since=date(2027, 1, 1))))
    usage = Usage(input_tokens=1, output_tokens=1)
    assert price(usage, model, day=date(2026, 12, 31)) == 3
    assert price(usage, model, day=date(2027, 1, 1)) == 18


def test_a_fraction_of_a_micro_dollar_is_rounded_up_once() -> None:
    model = replace(KNOWN, rates=(Rates(input=37_500, output=150_000),))
    assert price(Usage(), model) == 0
    assert price(Usage(input_tokens=1), model) == 1
    assert price(Usage(input_tokens=1, output_tokens=1), model) == 1
    assert price(Usage(input_tokens=80), model) == 3
    assert price(Usage(input_tokens=81), model) == 4


def test_free_and_unpriced_models_cost_nothing_that_is_known() -> None:
    usage = Usage(input_tokens=10**6, output_tokens=10**6)
    assert price(usage, replace(KNOWN, rates=())) == 0
    assert price(usage, replace(KNOWN, free=True)) == 0
    assert not replace(KNOWN, rates=()).priced


@given(TOKENS, TOKENS, TOKENS, TOKENS)
def test_the_price_is_the_exact_sum_and_less_than_a_micro_dollar_more(
    fresh: int, cached: int, written: int, out: int
) -> None:
    usage = Usage(
        input_tokens=fresh + cached + written, cached_tokens=cached, cache_write_tokens=written, output_tokens=out
    )
    (rates,) = KNOWN.rates
    assert rates.cached is not None
    assert rates.cache_write is not None
    exact = (
        Fraction(fresh * rates.input, 10**6)
        + Fraction(cached * rates.cached, 10**6)
        + Fraction(written * rates.cache_write, 10**6)
        + Fraction(out * rates.output, 10**6)
    )
    assert 0 <= price(usage, KNOWN) - exact < 1


@given(st.text(max_size=300), st.integers(1, 100), st.integers(0, 100), st.floats(0, 1), st.floats(0, 1))
def test_no_call_costs_more_than_its_estimate(text: str, limit: int, out: int, cached: float, written: float) -> None:
    request = replace(asked(text), max_output_tokens=limit)
    expected = estimate(request, KNOWN, counter=Characters())
    usage = Usage(
        input_tokens=expected.input_tokens,
        cached_tokens=int(expected.input_tokens * cached * 0.5),
        cache_write_tokens=int(expected.input_tokens * written * 0.5),
        output_tokens=min(out, limit),
    )
    assert expected.low <= price(usage, KNOWN) <= expected.high


# --- estimates ------------------------------------------------------------------------------------------------


def test_an_estimate_counts_all_that_is_sent() -> None:
    request = ModelRequest(
        messages=(
            Message(role="system", text="12345"),
            Message(
                role="assistant", text="123", thoughts=(Thought(text="1234"),),
                tool_calls=(ToolCall(id="1", name="find", arguments="{}"),),
            ),
            Message(role="user", text="1", images=(Image(media_type="image/png", url="https://example.com/a.png"),)),
        ),
        tools=(Tool(name="find", description="finds", parameters={"a": 1}),),
        schema={"b": 2},
        max_output_tokens=50,
    )  # fmt: skip
    model = replace(
        KNOWN,
        overhead=Overhead(message=1_000, request=10_000, tools=100_000, tool=2_000_000),
        image=ImageRule(name="fixed", base=30_000_000),
    )
    texts = len("12345") + len("123\n1234\nfind\n{}") + len("1") + len('find\nfinds\n{"a": 1}') + len('{"b": 2}')
    around = 3 * 1_000 + 10_000 + 100_000 + 2 * 2_000_000 + 30_000_000
    assert prompt_tokens(request, len, overhead=model.overhead, known=model) == texts + around
    assert estimate(request, model, counter=Characters()).input_tokens == texts + around


def test_an_estimate_says_what_counted() -> None:
    model = known("anthropic", "claude-sonnet-4-5")
    assert model is not None
    expected = estimate(asked("How tall is the lighthouse?"), model)
    assert expected.counted_by == "estimate:claude"
    assert 0 < expected.low < expected.high
    assert expected.output_tokens == 100
    openai = known("openai", "gpt-4o")
    assert openai is not None
    assert estimate(asked("x"), openai).counted_by == counter_for("o200k_base").name


def test_a_reply_is_bounded_by_what_the_model_can_say() -> None:
    expected = estimate(replace(asked("x"), max_output_tokens=10**6), KNOWN, counter=Characters())
    assert expected.output_tokens == KNOWN.output


def test_an_estimated_count_widens_the_bounds() -> None:
    text = "word " * 1_000
    counter = Estimating("")
    expected = estimate(asked(text), KNOWN, counter=counter)
    tokens = counter.count(text)
    assert expected.high >= tokens * 125 // 100 * 110 // 100
    assert expected.low <= tokens // 10


def test_an_estimate_near_a_threshold_takes_the_dearer_side() -> None:
    model = replace(KNOWN, rates=(*KNOWN.rates, Rates(input=5_000_000, output=5_000_000, above=1_000)))
    counter = Estimating("")
    text = "word " * 750
    assert 950 < counter.count(text) <= 1_000 < counter.count(text) * 1.1
    assert estimate(asked(text), model, counter=counter).high > 1_000 * 5


def test_an_estimate_without_a_price_says_so() -> None:
    assert not estimate(asked(), replace(KNOWN, rates=())).priced
    free = estimate(asked(), replace(KNOWN, rates=(), free=True))
    assert (free.priced, free.high) == (True, 0)


# --- pictures -------------------------------------------------------------------------------------------------


def png(width: int, height: int) -> bytes:
    head = struct.pack(">II", width, height) + b"\x08\x02\x00\x00\x00"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))


def picture(width: int, height: int) -> Image:
    return Image(media_type="image/png", data=png(width, height))


@pytest.mark.parametrize(
    ("model", "width", "height", "tokens"),
    [
        ("gpt-4o", 1024, 1024, 765),  # the examples of OpenAI's page on images
        ("gpt-4o", 2048, 4096, 1105),
        ("gpt-4o", 512, 512, 255),
        ("gpt-4.1-mini", 1024, 1024, 1659),
        ("gpt-4.1-mini", 1800, 2400, 2489),
    ],
)
def test_pictures_by_openais_rules(model: str, width: int, height: int, tokens: int) -> None:
    found = known("openai", model)
    assert found is not None
    assert image_tokens(picture(width, height), found.image) == tokens


def test_pictures_by_other_rules() -> None:
    claude, gemini = known("anthropic", "claude-sonnet-4-5"), known("gemini", "gemini-2.5-pro")
    assert claude is not None
    assert gemini is not None
    assert 1334 <= image_tokens(picture(1000, 1000), claude.image) <= 1335
    assert image_tokens(picture(8000, 8000), claude.image) == 1_600
    assert image_tokens(picture(300, 300), gemini.image) == 258
    assert image_tokens(picture(1_536, 768), gemini.image) == 516


def test_a_picture_of_unknown_size_counts_as_the_largest() -> None:
    for provider, name in (("openai", "gpt-4o"), ("openai", "gpt-4.1-mini"), ("anthropic", "claude-opus-4-5")):
        model = known(provider, name)
        assert model is not None
        behind_a_url = Image(media_type="image/png", url="https://example.com/a.png")
        assert image_tokens(behind_a_url, model.image) >= image_tokens(picture(2048, 2048), model.image)


def test_sizes_are_read_from_the_head_of_the_file() -> None:
    jpeg = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc2\x00\x11\x08\x01\x40\x02\x80\x03" + b"\x00" * 9
    lossless = b"RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f"
    lossless += ((640 - 1) | (320 - 1) << 14).to_bytes(9, "little")
    lossy = b"RIFF\x00\x00\x00\x00WEBPVP8 " + b"\x00" * 7 + b"\x9d\x01\x2a" + struct.pack("<HH", 640, 320)
    sizes = (639).to_bytes(3, "little") + (319).to_bytes(3, "little")
    extended = b"RIFF\x00\x00\x00\x00WEBPVP8X" + b"\x00" * 8 + sizes
    gif = b"GIF89a" + struct.pack("<HH", 640, 320)
    for data in (jpeg, lossless, lossy, extended, gif, png(640, 320)):
        assert image_size(data) == (640, 320)
        for end in range(len(data)):
            assert image_size(data[:end]) in (None, (640, 320))
    assert image_size(b"%PDF-1.7") is None
    assert image_size(b"") is None
    assert image_size(png(0, 5)) is None
