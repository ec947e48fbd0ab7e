from xml.etree import ElementTree as ET

import pytest

from benchmarks import svg

NAME = "{http://www.w3.org/2000/svg}"


def _shapes(picture: str, kind: str) -> list[ET.Element]:
    return list(ET.fromstring(picture).iter(NAME + kind))  # noqa: S314  our own


def _words(picture: str) -> list[str]:
    return [shape.text or "" for shape in _shapes(picture, "text")]


def test_bars_are_as_long_as_their_values() -> None:
    picture = svg.bars("CPU", {"ours": {"order": 1.0, "kafka": 2.0}, "theirs": {"order": 6.0}})

    widths = [float(shape.get("width", 0)) for shape in _shapes(picture, "rect") if len(shape)]
    assert widths[1] == pytest.approx(2 * widths[0], abs=0.2)
    assert widths[2] == pytest.approx(6 * widths[0], abs=0.3)
    assert {"CPU", "ours", "theirs", "order", "kafka"} <= set(_words(picture))


def test_a_part_has_one_colour_in_every_bar() -> None:
    picture = svg.bars("CPU", {"a": {"x": 1, "y": 1}, "b": {"y": 1}})

    first, second, third = (s.get("fill") for s in _shapes(picture, "rect") if len(s))
    assert first != second == third


def test_a_higher_value_is_drawn_higher() -> None:
    picture = svg.lines("latency", {"202": {"p50": 10, "p99": 100}})

    low, high = (float(shape.get("cy", 0)) for shape in _shapes(picture, "circle"))
    assert high < low


def test_lines_that_end_together_keep_their_numbers_apart() -> None:
    ends = {label: {"p50": 5.0, "p99": 33.0} for label in ("CONFIRMED", "COMPLETED")}

    picture = svg.lines("latency", ends)

    heights = [float(s.get("y", 0)) for s in _shapes(picture, "text") if s.text == "33"]
    assert abs(heights[0] - heights[1]) >= 15
    assert {"CONFIRMED", "COMPLETED"} <= set(_words(picture))


@pytest.mark.parametrize("value", [0.0, 7.0], ids=["zero", "one value"])
def test_a_line_of_equal_values_can_be_drawn(value: float) -> None:
    assert _shapes(svg.lines("flat", {"x": {"1": value, "2": value}}), "polyline")


def test_words_can_not_break_the_picture() -> None:
    assert "<b> & co" in _words(svg.bars("t", {"<b> & co": {"x": 1}}))
