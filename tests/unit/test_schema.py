"""The JSON Schema of the language says what the reader says."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from netfw.cli.main import main
from netfw.errors import PolicyError
from netfw.policy.document import NOTHING_GIVEN
from netfw.policy.library import Texts
from netfw.policy.read import load_files
from netfw.policy.schema.document import schema
from netfw.policy.translation import TranslationKind
from tests.golden.cases import CASES, HERE

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted(path for path in HERE.rglob("*.yaml")),
    *sorted((ROOT / "netfw" / "examples").glob("*.yaml")),
]
SCHEMA = schema()
VALIDATOR = Draft202012Validator(SCHEMA)
UNKNOWN = "qqqqq"
Path_ = tuple[str | int, ...]


class Yaml11(yaml.SafeLoader):
    """Words as editors take them that follow YAML 1.1; dates stay words, as JSON has none."""


Yaml11.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in those if not tag.endswith(":timestamp")]
    for first, those in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Yaml12(yaml.SafeLoader):
    """The core schema of YAML 1.2 (section 10.3.2), which most editors follow."""


Yaml12.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"null|Null|NULL|~|", "nN~"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    Yaml12.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
LOADERS = (Yaml11, Yaml12)


def as_json(value: Any) -> Any:
    """The same with words as keys, as an editor has it."""
    return json.loads(json.dumps(value))


def as_an_editor_has_it(text: str, loader: type[yaml.SafeLoader]) -> Any:
    return as_json(yaml.load(text, loader))


def as_written(text: str) -> Any:
    """All values as the words they are."""
    return yaml.load(text, yaml.BaseLoader)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_policy_is_valid_as_editors_read_it(file: Path, loader: type[yaml.SafeLoader]):
    found = VALIDATOR.iter_errors(as_an_editor_has_it(file.read_text(), loader))
    assert [f"{error.json_path}: {error.message}" for error in found] == []


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_policy_with_quotes_everywhere_is_valid_too(file: Path):
    found = VALIDATOR.iter_errors(as_written(file.read_text()))
    assert [f"{error.json_path}: {error.message}" for error in found] == []


def test_it_is_a_json_schema():
    Draft202012Validator.check_schema(SCHEMA)
    assert all(noun in SCHEMA["$defs"] for noun in _references(SCHEMA))


def _parts(form: Any) -> Iterator[dict[str, Any]]:
    if isinstance(form, dict):
        yield form
        for value in form.values():
            yield from _parts(value)
    elif isinstance(form, list):
        for value in form:
            yield from _parts(value)


def _references(form: Any) -> set[str]:
    return {
        part["$ref"].removeprefix("#/$defs/")
        for part in _parts(form)
        if isinstance(part.get("$ref"), str)
    }


def test_every_definition_is_used_and_every_key_explained():
    assert _references(SCHEMA) == set(SCHEMA["$defs"])
    mappings = [part for part in _parts(SCHEMA) if part.get("type") == "object"]
    assert all(part["additionalProperties"] is False for part in mappings)
    for part in mappings:
        for key, form in part.get("properties", {}).items():
            if key not in ("not", "any-of"):
                assert form["description"].endswith((".", '"')), key


def _mappings(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from _mappings(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _mappings(inner, (*path, number))


def _at(value: Any, path: Path_) -> Any:
    for step in path:
        value = value[step]
    return value


def _inner(errors: list[ValidationError]) -> Iterator[ValidationError]:
    for error in errors:
        yield error
        yield from _inner(list(error.context or ()))


def _keys_that_the_reader_knows(policy: Any, folder: Path) -> set[str] | None:
    """Of the mapping that has the unknown key, by what the reader says of it."""
    texts = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*")}
    texts["policy.yaml"] = yaml.safe_dump(policy, sort_keys=False)
    try:
        load_files(("policy.yaml",), Texts(texts), NOTHING_GIVEN)
    except PolicyError as error:
        for fault in error.faults:
            if f"unknown key '{UNKNOWN}'" in fault.problem:
                return set(fault.hint.partition(" has the keys ")[2].split(", "))
    return None


def _keys_that_the_schema_knows(policy: Any, path: Path_) -> set[frozenset[str]]:
    """Of whatever mappings may stand there."""
    found: set[frozenset[str]] = set()
    for error in _inner(list(VALIDATOR.iter_errors(policy))):
        if tuple(error.absolute_path) == path and (
            error.validator == "additionalProperties"
            and UNKNOWN in error.instance
            and "properties" in error.schema
        ):
            found.add(frozenset(error.schema["properties"]))
    return found


def _kind_of_place(path: Path_, mapping: dict[str, Any]) -> object:
    """Places of one kind have the same words on the way; names are not looked at."""
    named = ("endpoints", "zones", "nets", "services", "vars")
    words = [step for step in path if isinstance(step, str)]
    if words and words[0] in named:
        words = [words[0], *["*"][: len(words) - 1], *words[2:]]
    return tuple(words), "not" in mapping


def test_reader_and_schema_know_the_same_keys():
    seen: set[object] = set()
    exercised: set[frozenset[str]] = set()
    for case in CASES:
        written = as_written((HERE / case / "policy.yaml").read_text())
        for path, mapping in _mappings(written):
            kind = _kind_of_place(path, mapping)
            if kind in seen:
                continue
            seen.add(kind)
            changed = copy.deepcopy(written)
            _at(changed, path)[UNKNOWN] = "x"
            known = _keys_that_the_reader_knows(changed, HERE / case)
            if known is not None:
                options = _keys_that_the_schema_knows(changed, path)
                assert frozenset(known) in options, (case, path, known, options)
                exercised.add(frozenset(known))
    everywhere = {
        frozenset(part["properties"])
        for part in _parts(SCHEMA)
        if part.get("type") == "object" and "properties" in part
    }
    assert everywhere - exercised == set(), "mappings that no golden policy has"


def _is_refused(policy: Any) -> bool:
    return not VALIDATOR.is_valid(policy)


POLICY = """
version: 1
marks: {mask: 0x0f000000}
endpoints:
  wan: {host: eth0, labels: {trust: none}}
  pods: {workload: "veth+", optional: true}
zones: {all: {select: "all()"}}
nets: {office: [192.0.2.0/24]}
services: {web: [http, tcp/8080-8090], game: {udp: 9000, from-ports: 1024-65535}}
defaults: {invalid: ask}
failsafes: {ingress: [{service: ssh, from: office}], egress: [dns]}
tiers: [{name: first, default: pass}]
policies:
  - name: public
    tier: first
    acts: normal
    at: wan
    ingress:
      - allow: web
        from: office
        state: new
        time: {days: mon-fri, from: "08:00", zone: utc}
        expires: 2030-01-01
        rate: {most: 10/second, per: source}
      - reject: smtp
        with: tcp-reset
      - log: {prefix: denied, rate: 5/minute}
nat:
  - masquerade: {from: pods, out: wan, service: [tcp, udp], to-ports: 20000-50000, random: true}
  - snat: {out: wan, from-nets: office, to: 203.0.113.4-203.0.113.7, lasting: true}
  - dnat: {in: wan, addressed-to: 203.0.113.1, service: tcp/8443, to: 10.0.0.5, hairpin: pods}
  - dnat: {in: wan, service: tcp/444, to: "10.0.0.5:443"}
  - dnat: {from: host, addressed-to: 203.0.113.2, service: tcp/25, to: 10.0.0.6}
  - redirect: {in: pods, from: {not: office}, service: udp/53, to: 5353, family: 4}
  - redirect: {from: host, service: udp/123, to: 1123, family: all}
  - netmap: {in: wan, from: 198.51.100.0/24, to: 10.9.0.0/24, name: mapped}
  - exempt: {out: wan, from: pods, to-nets: 10.8.0.0/16}
  - exempt: {in: wan, from: office, addressed-to: 203.0.113.3, service: tcp/443}
  - exempt: {from: host, service: dns, family: 6}
steer:
  - {in: pods, service: web, table: 100, via: {out: wan, gateway: 192.0.2.1}}
assert:
  - denied: {in: wan, to: host, service: tcp/9999}
"""


def test_what_the_faults_are_made_in_is_without_one():
    load_files(("policy.yaml",), Texts({"policy.yaml": POLICY}))
    assert all(not _is_refused(as_an_editor_has_it(POLICY, loader)) for loader in LOADERS)


@pytest.mark.parametrize(
    ("sound", "wrong"),
    [
        ("version: 1", "version: 2"),
        ("marks:", "mark:"),
        ("mask: 0x0f000000", "mask: four"),
        ("host: eth0", "hosts: eth0"),
        ("host: eth0", "host: [eth0, {name: eth1}]"),
        ("host: eth0", "host: eth0, workload: eth1"),
        ("host: eth0", "host: an-interface-with-a-long-name"),
        ("host: eth0", "host: {default-route: 5}"),
        ("trust: none", "trust: [none]"),
        ("optional: true", "optional: perhaps"),
        ("  wan: {", "  Wan: {"),
        ("  wan: {", "  host: {"),
        ('select: "all()"', 'selects: "all()"'),
        ("office: [192.0.2.0/24]", "office: {files: office.txt}"),
        ("office: [192.0.2.0/24]", "office: 443"),
        ("office: [192.0.2.0/24]", "office: 192.0.2.0/24/8"),
        ("tcp/8080-8090", "tcpp/8080-8090"),
        ("tcp/8080-8090", "8080"),
        ("udp: 9000", "udp: 90000"),
        ("udp: 9000, ", ""),
        ("invalid: ask", "invalid: reject"),
        ("invalid: ask", "established: deny"),
        ("from: office}], egress", "to: office}], egress"),
        ("egress: [dns]", "forward: [dns]"),
        ("default: pass", "default: allow"),
        ("acts: normal", "acts: early"),
        ("    at: wan\n", ""),
        ("name: public", "title: public"),
        ("name: public", "name: Public"),
        ("    ingress:", "    forward:"),
        ("allow: web", "alow: web"),
        ("allow: web", "allow: web\n        deny: web"),
        ("allow: web", "allow: {no: web}"),
        ("from: office\n", "from: {mask: office}\n"),
        ("from: office\n", "from: any\n"),
        ("state: new", "state: newer"),
        ("state: new", "tcp-flags: {set: sin}"),
        ("state: new", "tcp-flags: {}"),
        ("days: mon-fri", "days: monday"),
        ('from: "08:00"', 'from: "8 am"'),
        ("zone: utc", "zone: cet"),
        ("expires: 2030-01-01", "expires: 1.1.2030"),
        ("most: 10/second", "most: 10/fortnight"),
        ("per: source}", "per: sources}"),
        ("with: tcp-reset", "with: reset"),
        ("prefix: denied", "prefix: 'no|bars'"),
        ("rate: 5/minute", "rate: 5 a minute"),
        ("rate: 5/minute", "rates: 5/minute"),
        ("rate: 5/minute", "group: 65536"),
        ("masquerade: {from: pods, out", "masquerade: {from: host, out"),
        ("service: [tcp, udp]", "service: []"),
        ("to-ports: 20000-50000", "to-ports: [20000-50000]"),
        ("to-ports: 20000-50000", "to-ports: 20000-"),
        ("random: true", "random: often"),
        ("to: 203.0.113.4-203.0.113.7", "to: 203.0.113.4/30"),
        ("to: 203.0.113.4-203.0.113.7", "to: a-name"),
        ("lasting: true", "lasting: 5"),
        ("dnat: {in: wan, ", "dnat: {in: wan, out: wan, "),
        ("dnat: {in: wan, ", "dnat: {"),
        ("dnat: {in: wan, ", "dnat: {in: wan, from: host, "),
        ("addressed-to: 203.0.113.1, ", ""),
        ('"10.0.0.5:443"', '"10.0.0.5:https"'),
        ("hairpin: pods", "hairpin: true"),
        ("to: 10.0.0.6}", "to: 10.0.0.6, hairpin: pods}"),
        ("to: 5353, family: 4", "to: 65536, family: 4"),
        ("to: 5353, family: 4", "to: 5353, family: 5"),
        ("from: {not: office}, service: udp/53", "from: {but: office}, service: udp/53"),
        ("from: host, service: udp/123", "from: [host], service: udp/123"),
        ("from: host, service: udp/123", "service: udp/123"),
        ("from: 198.51.100.0/24", "from: {not: 198.51.100.0/24}"),
        ("to: 10.9.0.0/24", "to: 10.9.0.0/24/8"),
        ("name: mapped", "name: Mapped"),
        ("exempt: {out: wan, ", "exempt: {in: wan, out: wan, "),
        ("exempt: {out: wan, from: pods, ", "exempt: {"),
        ("exempt: {in: wan, ", "exempt: {"),
        ("exempt: {in: wan, ", "exempt: {in: wan, to-nets: office, "),
        ("exempt: {from: host", "exempt: {from: office"),
        ("to-nets: 10.8.0.0/16", "addressed-to: 10.8.0.0/16"),
        ("family: 6", "family: ipv6"),
        ("table: 100", "table: mine"),
        ("gateway: 192.0.2.1", "gateway: here"),
        ("in: pods, service: web, table", "in: pods, service: web, tables"),
        ("denied: {", "refused: {"),
        ("to: host", "to: {no: office}"),
    ],
)
def test_a_fault_is_refused_by_the_reader_and_by_the_schema(sound: str, wrong: str):
    assert sound in POLICY
    text = POLICY.replace(sound, wrong, 1)
    with pytest.raises(PolicyError):
        load_files(("policy.yaml",), Texts({"policy.yaml": text}))
    assert all(_is_refused(as_an_editor_has_it(text, loader)) for loader in LOADERS)


def _entries_of_nat() -> Iterator[tuple[int, str]]:
    for number, entry in enumerate(as_written(POLICY)["nat"]):
        for kind in entry:
            yield number, kind


def _faults_in_every_entry_of_nat() -> Iterator[Any]:
    """In an entry as it is written: a key too many, a key too few, a value that is none."""
    knows: dict[str, Any] = SCHEMA["$defs"]["translation"]["properties"]
    for number, kind in _entries_of_nat():
        written = as_written(POLICY)["nat"][number][kind]
        form = knows[kind]
        yield pytest.param(number, {"colour": written, kind: written}, id=f"{kind}-and-colour")
        other = "snat" if kind != "snat" else "dnat"
        yield pytest.param(number, {kind: written, other: written}, id=f"{kind}-and-{other}")
        yield pytest.param(number, {kind: "wan"}, id=f"{kind}-wan")
        yield pytest.param(number, {kind: {**written, "colour": "red"}}, id=f"{kind}-colour")
        for key in form.get("required", ()):
            without = {name: value for name, value in written.items() if name != key}
            yield pytest.param(number, {kind: without}, id=f"{kind}-without-{key}")
        for key in form["properties"]:
            wrong = {**written, key: {"no": "way"}}
            yield pytest.param(number, {kind: wrong}, id=f"{kind}-{key}-no-way")


def test_the_faults_in_nat_are_made_in_every_kind_of_entry():
    assert {kind for _, kind in _entries_of_nat()} == {kind.value for kind in TranslationKind}


@pytest.mark.parametrize(("number", "entry"), [*_faults_in_every_entry_of_nat()])
def test_a_fault_in_an_entry_of_nat_is_refused_by_the_reader_and_by_the_schema(
    number: int, entry: Any
):
    policy = as_written(POLICY)
    policy["nat"][number] = entry
    text = yaml.safe_dump(policy, sort_keys=False)
    with pytest.raises(PolicyError):
        load_files(("policy.yaml",), Texts({"policy.yaml": text}))
    assert _is_refused(policy)


def test_a_variable_may_stand_for_values_and_for_lists_of_words():
    text = POLICY.replace("version: 1", "version: 1\nvars: {some: 10/second, days: [mon, tue]}")
    text = text.replace("most: 10/second,", "most: '${some}',").replace(
        "days: mon-fri", "days: '${days}'"
    )
    load_files(("policy.yaml",), Texts({"policy.yaml": text}))
    assert not _is_refused(as_an_editor_has_it(text, Yaml12))


def test_the_verb_prints_it_or_writes_it(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["schema"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == SCHEMA
    assert main(["schema", "--output", str(tmp_path / "netfw.schema.json")]) == 0
    assert (tmp_path / "netfw.schema.json").read_text() == printed
    assert main(["schema", "--output", str(tmp_path)]) == 2
