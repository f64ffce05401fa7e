from reid.doctor.finding import Finding, Seen, examine


def test_what_works_keeps_its_text_and_figures() -> None:
    found = examine("g", "n", lambda: Seen("good", {"ms": 1.5}), "never shown")
    assert found == Finding("g", "n", "works", "good", "", {"ms": 1.5})


def _fail() -> Seen:
    raise RuntimeError("no luck\n  File ..., line 3")


def _fail_silently() -> Seen:
    raise KeyError


def test_whatever_is_raised_becomes_one_line_with_a_remedy() -> None:
    found = examine("g", "n", _fail, "try again")
    assert found == Finding("g", "n", "broken", "no luck", "try again")
    assert examine("g", "n", _fail_silently, "try again").text == "KeyError"


def test_what_nobody_needs_is_absent() -> None:
    assert examine("g", "n", _fail, "try again", needed=False).state == "absent"
