import pytest
from common.card_numbers import holds_card_number

CARDS = ["4242424242424242", "5555555555554444", "378282246310005", "4222222222222"]


@pytest.mark.parametrize("number", CARDS)
@pytest.mark.parametrize("dress", ["{}", "pm_{}", "pm_x{}y", "tok-{}"])
def test_a_card_number_is_found_in_any_dress(number: str, dress: str) -> None:
    assert holds_card_number(dress.format(number))


@pytest.mark.parametrize("separator", [" ", "_", "-", ".", "/", "\u00a0"])
@pytest.mark.parametrize("number", CARDS)
def test_a_card_number_is_found_in_groups(number: str, separator: str) -> None:
    groups = [number[start : start + 4] for start in range(0, len(number), 4)]

    assert holds_card_number(separator.join(groups))


@pytest.mark.parametrize(
    "text",
    ["", "pm_card", "4242424242424241", "424242424242", "pm_1NzX42aB42cD42", "pm_" + "a1" * 30],
    ids=["nothing", "no digits", "last digit wrong", "too short", "a token", "digits apart"],
)
def test_a_token_is_no_card_number(text: str) -> None:
    assert not holds_card_number(text)
