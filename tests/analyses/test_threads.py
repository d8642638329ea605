"""BLAS gets its threads back, whoever leaves last."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from analyses.threads import one_blas_thread


def blas_threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_thread_within_and_as_many_as_before_after():
    before = blas_threads()
    with one_blas_thread():
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_blocks_that_overlap():
    before = blas_threads()
    inside, leave = threading.Barrier(2), threading.Event()

    def hold():
        with one_blas_thread():
            inside.wait(timeout=10)
            leave.wait(timeout=10)

    other = threading.Thread(target=hold, daemon=True)
    other.start()
    with one_blas_thread():
        inside.wait(timeout=10)
    assert blas_threads() == {1}, "the other thread is still within"
    leave.set()
    other.join()
    assert blas_threads() == before


def test_an_error_within_gives_threads_back():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert blas_threads() == before
