"""Rules that others put on a host, as Docker, fail2ban and an administrator do."""

from __future__ import annotations

from netfw.host.iptables import restore
from netfw.host.namespace import Namespace
from netfw.host.run import run
from netfw.ir.names import Backend, Family

_DOCKER = """\
*raw
-A PREROUTING -d {container} ! -i docker0 -j DROP
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s {bridge} ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {published}
COMMIT
*filter
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER -d {container} ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
"""
_DOCKER_WORDS = {
    Family.IPV4: ("172.17.0.2/32", "172.17.0.0/16", "172.17.0.2:80"),
    Family.IPV6: ("fd00:17::2/128", "fd00:17::/64", "[fd00:17::2]:80"),
}
_FAIL2BAN = """\
*filter
:f2b-recidive - [0:0]
:f2b-sshd - [0:0]
-A INPUT -p tcp -j f2b-recidive
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -p tcp -m tcp --dport 25 -m set --match-set {banned} src -j DROP
-A f2b-recidive -j RETURN
-A f2b-sshd -s {attacker} -j {reject}
-A f2b-sshd -j RETURN
COMMIT
*mangle
-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
COMMIT
"""
_FAIL2BAN_WORDS = {
    Family.IPV4: ("f2b-smtp", "192.0.2.66/32", "REJECT --reject-with icmp-port-unreachable"),
    Family.IPV6: ("f2b-smtp6", "2001:db8::66/128", "REJECT --reject-with icmp6-port-unreachable"),
}


def settle_others(namespace: Namespace, backend: Backend) -> None:
    """Put Docker's, fail2ban's and an administrator's rules and sets into a namespace."""
    for name, family, member in (
        ("f2b-smtp", "inet", "192.0.2.66"),
        ("f2b-smtp6", "inet6", "2001:db8::66"),
    ):
        run(["ipset", "create", name, "hash:ip", "family", family], namespace=namespace)
        run(["ipset", "add", name, member], namespace=namespace)
    for family in Family:
        container, bridge, published = _DOCKER_WORDS[family]
        docker = _DOCKER.format(container=container, bridge=bridge, published=published)
        banned, attacker, reject = _FAIL2BAN_WORDS[family]
        fail2ban = _FAIL2BAN.format(banned=banned, attacker=attacker, reject=reject)
        restore(namespace, backend, family, docker)
        restore(namespace, backend, family, fail2ban, keep=True)


def lines_of_others(namespace: Namespace, backend: Backend) -> dict[str, list[str]]:
    """What the save programs print of a namespace, but for counters, comments and netfw's.

    By table, since the order of tables changes when one is made; a table in which others have
    neither a rule nor a chain nor a policy is left out.
    """
    found: dict[str, list[str]] = {}
    for program in ("iptables", "ip6tables"):
        saved = run([f"{program}-{backend}-save"], namespace=namespace).stdout
        table = ""
        for line in saved.splitlines():
            if line.startswith("*"):
                table = f"{program} {line}"
            elif line[0] in ":-" and "NETFW-" not in line and "netfw:" not in line:
                plain = line.partition(" [")[0] if line[0] == ":" else line
                found.setdefault(table, []).append(plain)
    found = {
        table: lines
        for table, lines in found.items()
        if not all(line.endswith(" ACCEPT") and line[0] == ":" for line in lines)
    }
    sets = run(["ipset", "save"], namespace=namespace).stdout
    found["sets"] = [line for line in sets.splitlines() if "NETFW-" not in line]
    return found
