from network.problems import Problems


def test_each_is_said_once_and_all_together() -> None:
    found = Problems(["a: wrong", "b: wrong", "a: wrong"])
    assert found.problems == ("a: wrong", "b: wrong")
    assert str(found) == "a: wrong; b: wrong"
