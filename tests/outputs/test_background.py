"""Work in a thread of its own."""

import threading

import pytest

from smarty_gateway.outputs.background import Task


@pytest.mark.parametrize("is_late", [False, True])
def test_what_follows_the_work_is_done_once_it_is_over(*, is_late: bool) -> None:
    may_end, followed = threading.Event(), threading.Event()
    woken = threading.Event()

    def work() -> int:
        may_end.wait()
        return 7

    task = Task("work", work, woken.set)
    assert not task.is_done
    if is_late:
        may_end.set()
        assert woken.wait(60)
        task.then(followed.set)
    else:
        task.then(followed.set)
        assert not followed.is_set()
        may_end.set()
        task.wait(60)
    assert followed.is_set()
    assert (task.is_done, task.result()) == (True, 7)


def test_what_the_work_raises_comes_from_the_result() -> None:
    def work() -> None:
        raise OSError("no answer")

    task = Task("work", work, lambda: None)
    task.wait(60)
    with pytest.raises(OSError, match="no answer"):
        task.result()
