"""Two policies, either of which is applied over the other: rules differ in every table that netfw
writes, and sets, routing rules and sysctls differ too.

Both allow udp/53, and both deny udp/9999, to this host and through it.
"""

from __future__ import annotations

ALLOWED, DENIED = 53, 9999
"""UDP ports that both policies allow, and deny."""

_POLICY = """\
version: 1
endpoints:
  wan: {{host: eth0}}
  lan: {{host: eth1, nets: [10.0.0.0/24, "fd00::/64"{behind}]}}
nets:
  blocked: [198.18.0.0/15, 203.0.113.64/26, "2001:db8:dead::/48", "2001:db8:beef::/48"]
policies:
  - name: blocklist
    at: wan
    ingress:
      - deny: any
        from: blocked
      - deny: any
        from: [192.0.2.66, 192.0.2.67, {blocked}, "2001:db8:1::66", "2001:db8:1::67"]
      - deny: any
        from: [192.0.2.70, 192.0.2.71, 192.0.2.72]
      - deny: any
        from: ["2001:db8:1::70", "2001:db8:1::71", "2001:db8:1::72"]
  - name: public
    at: wan
    ingress:
      - allow: [http, https, udp/53{open}]
      - allow: ssh
        from: [192.0.2.0/24, "2001:db8::/64"]
  - name: own
    at: wan
    egress:
      - allow: [dns, ntp, https{out}]
  - name: into-lan
    from: wan
    to: lan
    forward: [{{allow: [udp/53, http]}}]
  - name: lan-to-internet
    from: lan
    to: wan
    forward: [{{allow: any}}]
nat:
  - masquerade: {{from: lan, out: wan}}
  - dnat: {{in: wan, service: tcp/{published}, to: ["10.0.0.5:443", "[fd00::5]:443"]}}
steer:
  - {{in: lan, from: 10.0.0.0/25, service: {steered}, table: {table}}}
"""

OLD = _POLICY.format(
    behind="",
    blocked='203.0.115.9, "2001:db8:1::68"',
    open="",
    out="",
    published=8443,
    steered="http",
    table=100,
)
NEW = _POLICY.format(
    behind=', 10.1.0.0/24, "fd00:1::/64"',
    blocked='203.0.116.9, "2001:db8:1::69"',
    open=", smtp",
    out=", http",
    published=9443,
    steered="https",
    table=101,
)
