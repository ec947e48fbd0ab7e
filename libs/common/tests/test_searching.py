import pytest
from common.searching import pattern


@pytest.mark.parametrize(
    ("text", "like"),
    [
        ("lamp", "%lamp%"),
        ("l", "% l%"),
        ("la", "% la%"),
        ("100%", r"%100\%%"),
        ("a_b", r"%a\_b%"),
        ("\\", r"% \\%"),
        ("%", r"% \%%"),
        ("a b", "%a b%"),
    ],
)
def test_a_text_becomes_the_pattern_that_finds_it_as_it_stands(text: str, like: str) -> None:
    assert pattern(text) == like
