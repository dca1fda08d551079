import warnings

import pytest

from ldrestore.cli.console import one_line_warnings
from ldrestore.errors import MetadataLossWarning


@pytest.mark.parametrize("is_reset", [False, True])
def test_what_is_left_out_is_told_once_a_kind_and_other_warnings_each_time(capsys, is_reset):
    with one_line_warnings():
        warnings.simplefilter("always")
        for _ in range(3):
            if is_reset:  # as decoders do, after which Python forgets what it has shown
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
            warnings.warn("comments: left out of the result", MetadataLossWarning, stacklevel=1)
            warnings.warn("a.png: has 3 frames", UserWarning, stacklevel=1)
    told = capsys.readouterr().err.splitlines()
    assert told.count("warning: comments: left out of the result") == 1
    assert told.count("warning: a.png: has 3 frames") == 3
