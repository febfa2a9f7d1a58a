"""What the tests of estimators share."""

import importlib.util
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def oracle():
    """The slow EM of ``oracle.py``."""
    spec = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def refused():
    """A check that ``fit`` raises ``error`` itself (nothing from numpy's insides) with all ``words`` in its message."""

    def check(estimator, words, *given, error=ValueError, **more):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(error) as caught:
                estimator.fit(*given, **more)
        assert type(caught.value) is error, f"{type(caught.value).__name__} is not for users"
        missing = [word for word in words if word not in str(caught.value)]
        assert not missing, f"{missing} not in: {caught.value}"

    return check
