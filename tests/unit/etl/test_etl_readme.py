"""The README is true: its examples are configurations, and every key of every configuration is in it."""

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
from batchctl_etl import config
from batchctl_etl.config import extract, load, transform
from batchctl_etl.config.strict import Strict, parse
from batchctl_etl.errors import EtlError

README = (Path(__file__).parents[3] / "images/etl/README.md").read_text()
MODULES = [
    importlib.import_module(f"batchctl_etl.config.{module.name}")
    for module in pkgutil.iter_modules(config.__path__)
]
MODELS = {
    model
    for module in MODULES
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, Strict) and model is not Strict
}


def test_every_key_and_kind_is_in_the_readme() -> None:
    keys = {name for model in MODELS for name in model.model_fields}
    kinds = {str(model.model_fields["type"].annotation) for model in MODELS if "type" in model.model_fields}
    words = keys | set(re.findall(r"'(\w+)'", " ".join(kinds)))
    assert len(words) > 60
    assert sorted(word for word in words if not re.search(rf"\b{word}\b", README)) == []


def test_every_exit_code_is_in_the_readme() -> None:
    codes = {error.exit_code for error in (EtlError, *EtlError.__subclasses__())}
    assert [code for code in codes if f"\n| {code} | " not in README] == []


@pytest.mark.parametrize("text", re.findall(r"```json\n(.*?)```", README, re.S))
def test_an_example_is_a_configuration(text: str) -> None:
    example = json.loads(text)
    model: type[Strict] = extract.ExtractConfig if "source" in example else transform.TransformConfig
    parse(load.LoadConfig if "type" in example["sink"] else model, text, origin="README")
