"""The lists of an API, as JSON in a text: all that a template of a jobspec can make."""

import json

import pytest
from batchctl_etl.config.extract import ExtractConfig
from batchctl_etl.config.strict import parse
from batchctl_etl.errors import BadConfig


def _parsed(codes):
    source = {"type": "api", "url": "http://x/{code}", "lists": {"code": codes}}
    return parse(ExtractConfig, json.dumps({"source": source, "sink": {"url": "raw/"}}), origin="x")


def test_a_text_is_the_list_that_it_holds():
    assert _parsed('["A", "B"]').source == _parsed(["A", "B"]).source
    assert list(_parsed('["A", "B"]').source.combinations) == [{"code": "A"}, {"code": "B"}]


@pytest.mark.parametrize("codes", ["A,B", "A", '{"A": 1}', '"A"', ""])
def test_any_other_text_is_refused(codes):
    with pytest.raises(BadConfig, match=r'source\.lists\.code: a text must be a list in JSON: \["a", "b"\]'):
        _parsed(codes)


@pytest.mark.parametrize("codes", ["[]", "[1]"])
def test_a_list_in_a_text_is_held_to_the_same(codes):
    with pytest.raises(BadConfig, match=r"source\.lists\.code"):
        _parsed(codes)
