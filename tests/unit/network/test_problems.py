from network.problems import Problems


def test_duplicate_problems_are_reported_once() -> None:
    error = Problems(["a: wrong", "b: wrong", "a: wrong"])
    assert error.problems == ("a: wrong", "b: wrong")
    assert str(error) == "a: wrong; b: wrong"
