"""One file with more than fifty different faults, over all parts of the language, in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from netfw.cli.main import main
from netfw.errors import ExitCode

POLICY = """\
version: 3
vars:
  Admins: 10.0.0.1
  loop: "${loop}"
  port: 80
marks: {mask: 0x1f0000}
defaults: {established: maybe, inwalid: deny}
failsafes:
  ingress: [shh, {service: ssh, from: offcie}]
endpoints:
  wan: {host: eth0, labelz: {a: b}}
  lan: {host: interface-number-1}
  dmz: {host: eth0}
  both: {host: eth5, workload: eth6}
  any: {host: eth7}
  every: {host: "+"}
  pods: {workload: "veth+"}
zones:
  inside: [lan, lann]
  chosen: {select: "env == 'prod"}
nets:
  office: 192.0.2.1/24
  wide: 10.0.0.0/33
  masked: 10.0.0.0/255.0.0.255
  Berlin: 10.1.0.0/16
  ring: [ring]
  scoped: fe80::1%eth0
  empty: []
  good: 198.51.100.0/24
services:
  zero: tcp/0
  down: tcp/2000-1000
  odd: tpc/80
  ports: esp/50
  type: icmp/echo
  ssh: tcp/2222
tiers:
  - {name: apps, default: maybe}
  - {default: pass}
policies:
  - name: public
    at: wan
    ingress:
      - {}
      - {allow: ssh, deny: ssh}
      - {allow: ssh, frum: good}
      - allow: htpp
      - {allow: ssh, from: godo}
      - {allow: ssh, from: lan}
      - {allow: ssh, from: any}
      - {allow: ssh, name: Office}
      - {allow: icmpv6, from: 10.0.0.1}
      - {allow: [any, ssh]}
      - log: {prefix: a-prefix-that-is-quite-long-indeed}
      - log: {rate: 0/minute}
      - allow: tcp/${prot}
      - allow: tcp/$x
  - name: public
    at: wan
    ingress: [allow: any]
  - name: mixed
    at: wan
    forward: [allow: any]
  - name: nowhere
    ingress: [allow: any]
  - name: silent
    at: wan
  - name: late
    tier: nosuch
    at: wan
    ingress: [allow: any]
nat:
  - masquerade: {from: lan}
  - masquerade: {out: wna}
  - dnat: {in: wan, service: tcp/1, to: web}
  - dnat: {in: wan, service: tcp/1-5, to: "10.0.0.5:443"}
  - {}
assert:
  - denied: {service: ssh}
  - allowed: {in: wan, from: host, service: ssh}
  - maybe: {in: wan}
"""

EXPECTED = """\
1:10: version '3' of the policy language is not known
3:3: 'Admins' cannot be the name of a variable
4:9: variable 'loop' contains itself: loop → loop
6:15: mask 0x1f0000 has 5 bits: netfw's field needs exactly four
7:25: 'established' cannot be 'maybe'
7:32: unknown key 'inwalid' in 'defaults'
9:13: unknown service 'shh'
9:39: unknown net 'offcie'
11:21: unknown key 'labelz' in endpoint 'wan'
12:15: interface 'interface-number-1' is longer than 15 bytes
13:15: interface 'eth0' overlaps 'eth0' of endpoint 'wan'
14:3: endpoint 'both' is both host and workload
15:3: 'any' cannot be the name of an endpoint: netfw uses it for its own rules
16:17: '+' is every interface, the loopback among them
19:17: unknown endpoint 'lann'
20:28: selector, character 8: the text after ' has no end
22:11: '192.0.2.1/24' has host bits set
23:9: '10.0.0.0/33' has a prefix longer than 32
24:11: the mask of '10.0.0.0/255.0.0.255' is not a prefix
25:3: 'Berlin' cannot be the name of a net
26:10: net 'ring' contains itself: ring
27:11: 'fe80::1%eth0' names an interface, which a network cannot have
28:10: net 'empty' is an empty list
31:9: 'tcp/0': ports go from 1 to 65535
32:9: 'tcp/2000-1000': the range is upside down
33:8: unknown protocol 'tpc' in 'tpc/80'
34:10: 'esp/50': esp has no ports
35:9: 'icmp/echo': unknown icmp type 'echo'
36:3: service 'ssh' is built in and means something else
38:27: 'default' of a tier cannot be 'maybe'
39:5: a tier lacks the key 'name'
44:9: a rule lacks what it does
45:9: a rule does one thing, not 'allow' and 'deny'
46:22: unknown key 'frum' in a rule
47:16: unknown service 'htpp'
48:28: unknown net 'godo'
49:28: 'lan' is an endpoint, but 'from' of a rule names nets
50:28: 'from' cannot be 'any'
51:28: 'Office' cannot be the name of a rule
52:9: no packet can match this rule: its service is IPv6 only, 'from' is IPv4 only
53:18: 'any' is every packet, so the rest of the list says nothing
54:23: prefix 'a-prefix-that-is-quite-long-indeed' is longer than 27 characters
55:21: '0/minute': rates go from 1 to 10000
56:16: unknown variable 'prot' in 'tcp/${prot}'
57:16: 'tcp/$x' has a '$' that begins no variable
58:11: there are two policies 'public' (the first in line 41)
61:5: policy 'mixed' has 'at' and 'forward'
64:5: policy 'nowhere' lacks the key 'at'
66:5: policy 'silent' has no rules
69:11: unknown tier 'nosuch'
73:17: 'masquerade' lacks the key 'out'
74:23: unknown endpoint 'wna' in 'out'
75:41: 'web' is not an address, with or without port
76:43: '10.0.0.5:443' would put several ports of the service onto one
77:5: an entry of 'nat' is one of masquerade, snat, dnat, redirect, netmap, exempt
79:13: 'denied' names no endpoint
80:14: 'allowed' has 'in' and 'from: host'
81:5: unknown key 'maybe' in an entry of 'assert'
"""


def test_every_fault_of_a_file_gets_one_line_with_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(POLICY)
    assert main(["compile", "p.yaml"]) == ExitCode.POLICY
    printed = capsys.readouterr().err.splitlines()
    problems = [line for line in printed if not line.startswith("  hint: ")]
    assert problems == [f"p.yaml:{line}" for line in EXPECTED.splitlines()]
    assert len(set(problems)) >= 50
