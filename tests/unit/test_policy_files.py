"""A policy in several texts: what includes what, how they are joined, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from netfw.cli.policy_file import read_policy
from netfw.errors import PolicyError
from netfw.host.policy_files import PolicyFiles
from netfw.policy import inclusion
from netfw.policy.library import MAX_FILE, Texts
from netfw.policy.model import Policy
from netfw.policy.read import load_files

START = "version: 1\nendpoints:\n  wan: {host: eth0}\n"


def policy(name: str) -> str:
    return f"policies:\n  - {{name: {name}, at: wan, ingress: [allow: any]}}\n"


def read(**texts: str) -> Policy:
    """The policy of ``main.yaml``; ``a_b`` as a name is the file ``a/b.yaml``."""
    return load_files(
        ("main.yaml",),
        Texts({f"{name.replace('_', '/')}.yaml": text for name, text in texts.items()}),
    )


def faults(**texts: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        read(**texts)
    return [f"{fault.place}: {fault.problem}" for fault in caught.value.faults]


def names(policy: Policy) -> list[str]:
    return [entry.name for entry in policy.endpoint_policies]


def test_an_included_files_policies_come_before_those_of_the_including_file():
    found = read(
        main=f"{START}include: [a.yaml, b.yaml]\n{policy('main')}",
        a=f"include: [c.yaml]\n{policy('a')}",
        b=policy("b"),
        c=policy("c"),
    )
    assert names(found) == ["c", "a", "b", "main"]


def test_every_rule_knows_the_file_that_it_stands_in():
    found = read(main=f"{START}include: [sub/a.yaml]\n", sub_a=policy("a"))
    (rule,) = found.endpoint_policies[0].ingress
    assert str(rule.origin.where).startswith("sub/a.yaml:2:")


def test_names_of_files_are_relative_to_the_file_that_names_them():
    found = read(
        main=f"{START}include: sub/a.yaml\n", sub_a="include: [../b.yaml]\n", b=policy("b")
    )
    assert names(found) == ["b"]


def test_a_pattern_stands_for_files_in_order_of_name():
    found = read(
        main=f"{START}include: ['sub/*.yaml']\n",
        sub_b=policy("b"),
        sub_a=policy("a"),
        sub_c_d=policy("d"),
    )
    assert names(found) == ["a", "b"]


def test_a_file_that_two_others_include_is_read_once():
    found = read(
        main=f"{START}include: [a.yaml, b.yaml]\n",
        a="include: [./c.yaml]\n",
        b="include: [c.yaml]\n",
        c=policy("c"),
    )
    assert names(found) == ["c"]


def test_definitions_of_all_files_are_one():
    found = read(
        main=f"{START}include: [a.yaml]\nnets: {{x: [y, 10.0.0.0/8]}}\n",
        a="nets: {y: 192.0.2.0/24}\nservices: {s: tcp/1}\n"
        "policies:\n  - {name: a, at: wan, ingress: [{allow: s, from: x}]}\n",
    )
    (rule,) = found.endpoint_policies[0].ingress
    assert len(rule.criteria.sources) == 2


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (
            {"main": f"{START}include: [a.yaml]", "a": "include: [main.yaml]\n"},
            "a.yaml:1:11: this file includes itself: main.yaml → a.yaml → main.yaml",
        ),
        (
            {"main": f"{START}include: ['*.yaml']"},
            "main.yaml:4:11: this file includes itself: main.yaml → main.yaml",
        ),
        (
            {"main": f"{START}include: [no.yaml]"},
            "main.yaml:4:11: 'no.yaml': there is no such file",
        ),
        (
            {"main": f"{START}include: ['no/*.yaml']"},
            "main.yaml:4:11: no file is called like 'no/*.yaml'",
        ),
        (
            {"main": f"{START}include: ['${{x}}.yaml']\nvars: {{x: a}}"},
            "main.yaml:4:11: '${x}.yaml': a variable cannot stand in 'include'",
        ),
        (
            {"main": f"{START}include: [a.yaml]", "a": "endpoints: {wan: {host: eth1}}"},
            "main.yaml:3:3: 'wan' is twice under 'endpoints' (first in a.yaml:1:13)",
        ),
        (
            {
                "main": f"{START}include: [a.yaml]\n{policy('p')}",
                "a": policy("p"),
            },
            "main.yaml:6:12: there are two policies 'p' (the first in a.yaml:2:12)",
        ),
        (
            {
                "main": f"{START}include: [a.yaml]\nmarks: {{mask: 0xf0000}}",
                "a": "marks: {mask: 0xf00000}",
            },
            "main.yaml:5:1: 'marks' is in two files (first in a.yaml:1:1)",
        ),
        (
            {"main": f"{START}include: [a.yaml]", "a": "version: 2"},
            "a.yaml:1:10: version '2' of the policy language is not known",
        ),
        (
            {"main": f"{START}include: [a.yaml]", "a": "polices: []"},
            "a.yaml:1:1: unknown key 'polices' in a policy file",
        ),
        (
            {"main": f"{START}include: [a.yaml]\nnets: {{x: 10.0.0.0/8}}", "a": "nets: [x]"},
            "a.yaml:1:7: nets must be a mapping of names, not a list",
        ),
        (
            {"main": f"{START}include: [a.yaml]\n{policy('p')}", "a": "policies: {x: y}"},
            "a.yaml:1:11: 'policies' must be a list, not a mapping",
        ),
        ({"main": f"{START}include: [a.yaml]", "a": ""}, "a.yaml: the file is empty"),
        (
            {"main": f"{START}include: {{a: b}}"},
            "main.yaml:4:10: 'include' must be a word or a list, not a mapping",
        ),
    ],
)
def test_fault_of_several_files_is_told_with_its_place(texts: dict[str, str], expected: str):
    assert faults(**texts) == [expected]


def test_faults_of_all_files_are_told_file_by_file():
    found = faults(
        main=f"{START}include: [b.yaml, a.yaml]\nnest: 1\n", a="x: 1\ny: 2\n", b="z: 3\n"
    )
    places = [line.partition(": ")[0] for line in found]
    assert places == ["main.yaml:5:1", "b.yaml:1:1", "a.yaml:1:1", "a.yaml:2:1"]


def test_includes_have_an_end():
    texts = {f"{number}.yaml": f"include: {number + 1}.yaml" for number in range(50)}
    with pytest.raises(
        PolicyError, match=r"10.yaml:1:10: files include each other deeper than 10"
    ):
        load_files(("0.yaml",), Texts(texts))


def test_files_of_a_policy_have_an_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inclusion, "MAX_FILES", 3)
    texts = {f"sub/{number}.yaml": "version: 1" for number in range(50)}
    texts["main.yaml"] = f"{START}include: 'sub/*.yaml'"
    with pytest.raises(PolicyError) as caught:
        load_files(("main.yaml",), Texts(texts))
    assert [str(fault) for fault in caught.value.faults] == [
        "main.yaml:4:10: the policy has more than 3 files"
    ]


def test_a_folder_is_its_yaml_files_in_order_of_name(tmp_path: Path):
    (tmp_path / "10-start.yaml").write_text(START + policy("start"))
    (tmp_path / "20-more.yaml").write_text(policy("more"))
    (tmp_path / ".20-more.yaml.swp").write_text("this is no YAML: {")
    (tmp_path / "README").write_text("this is no YAML: {")
    found = read_policy(str(tmp_path))
    assert names(found) == ["start", "more"]
    assert found.file == str(tmp_path)
    assert found.endpoint_policies[1].where.file == str(tmp_path / "20-more.yaml")


def refusal(name: str | Path) -> str:
    with pytest.raises(PolicyError) as caught:
        read_policy(str(name))
    (fault,) = caught.value.faults
    return f"{fault.place}: {fault.problem}"


def test_a_folder_with_a_file_that_would_not_be_read_is_refused(tmp_path: Path):
    (tmp_path / "a.yaml").write_text(START)
    (tmp_path / "b.yml").write_text(policy("b"))
    assert refusal(tmp_path) == f"{tmp_path}: 'b.yml' would not be read"


def test_a_pipe_and_a_device_are_refused_without_reading_them(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert "this is a device, a pipe or a socket" in refusal(tmp_path / "pipe.yaml")
    assert "this is a device, a pipe or a socket" in refusal("/dev/zero")


def test_a_file_of_100_megabytes_is_refused_by_its_size(tmp_path: Path):
    file = tmp_path / "large.yaml"
    with file.open("wb") as large:
        large.truncate(100_000_000)
    assert refusal(file) == f"{file}: this file is larger than {MAX_FILE >> 20} MiB"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"version: 1\nnets: {a: \xff}\n", ":2: byte 0xff is not UTF-8"),
        ("version: 1\n".encode("utf-16"), ":1: byte 0xff is not UTF-8"),
        (b"version: 1\n#\n# \0\n", ":3: byte 0x00 cannot be in a text file"),
        (
            b"version: 1\nendpoints:\n\twan: {host: eth0}\n",
            ":3:1: this is not YAML: while scanning",
        ),
        (b"version: 1\nversion: 1\n", ":2:1: key 'version' is here twice (first in line 1)"),
        (b"version: 1\r\nnest: {}\r\n", ":2:1: unknown key 'nest' in a policy file"),
        (b"\xef\xbb\xbfversion: 1\nnest: {}\n", ":2:1: unknown key 'nest' in a policy file"),
        (b"\xef\xbb\xbfvrsion: 1\nversion: 1", ":1:1: unknown key 'vrsion' in a policy file"),
    ],
)
def test_bytes_that_are_no_clean_text_get_one_line(tmp_path: Path, data: bytes, expected: str):
    file = tmp_path / "p.yaml"
    file.write_bytes(data)
    assert refusal(file).removeprefix(str(file)).startswith(expected)


def test_a_text_with_carriage_returns_and_byte_order_mark_is_read(tmp_path: Path):
    file = tmp_path / "p.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + (START + policy("p")).replace("\n", "\r\n").encode())
    assert names(read_policy(str(file))) == ["p"]


def test_a_bad_byte_in_an_included_file_is_told_with_that_files_line(tmp_path: Path):
    (tmp_path / "p.yaml").write_text(f"{START}include: a.yaml\n")
    (tmp_path / "a.yaml").write_bytes(b"version: 1\n# \xe4\n")
    assert refusal(tmp_path / "p.yaml") == f"{tmp_path}/a.yaml:2: byte 0xe4 is not UTF-8"


def test_links_that_lead_in_a_circle_come_to_an_end(tmp_path: Path):
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "p.yaml").write_text(f"{START}include: loop/p.yaml\n")
    assert "this file includes itself" in refusal(tmp_path / "p.yaml")
    (tmp_path / "q.yaml").symlink_to(tmp_path / "q.yaml")
    assert "cannot be read: Too many levels of symbolic links" in refusal(tmp_path / "q.yaml")


def test_names_in_a_folder_and_in_memory_are_matched_alike(tmp_path: Path):
    files = ("a.yaml", "b.yaml", "sub/c.yaml", "sub/d.txt")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for pattern in ("*.yaml", "sub/*", "?.yaml", "[b-z].yaml", "*/*.txt", "no*"):
        on_disk = PolicyFiles().names_like(str(tmp_path / pattern))
        relative = tuple(str(Path(name).relative_to(tmp_path)) for name in on_disk)
        assert relative == tuple(
            name for name in Texts(dict.fromkeys(files, "")).names_like(pattern)
        )
