#!/usr/bin/env bash
# Installs what netfw needs and is missing: packages of the distribution (as root), then .venv.
# Finds out by looking for commands and files, so a second run installs nothing and asks nobody.
# Arguments name what more is needed: `kernels` for make kernels, `vagrant` for make vm-test,
# `deb` for make deb.
# Exit code 4: this machine lacks something, and the last lines say what to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$1"; shift; [ $# -eq 0 ] || printf '  hint: %s\n' "$@" >&2; exit 4; }

wanted=("$@")

# Two at once would install into the same .venv: the second waits.
if command -v flock >/dev/null; then exec 9<Makefile; flock 9; fi

# --- the Python to use, and whether .venv is what it should be ---

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=
for candidate in "${PYTHON:=python3}" python3.13 python3.12 python3.11; do
  if is_new_enough "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 or newer is needed; '$PYTHON' is $("$PYTHON" -V 2>&1 | tail -n 1 || true)" \
  "install one, then: make PYTHON=/path/to/python3 test"
[ "$python" = "$PYTHON" ] || say "'$PYTHON' is not Python 3.11 or newer: using $python"

# The stamp is written last and taken away first, so an interrupted set-up leaves none.
stamp=.venv/setup-stamp
made_by="$PWD $("$python" -c 'import sys; print(sys.base_prefix, *sys.version_info[:3])')"
made_from=$(cat .ci/setup.sh pyproject.toml requirements.lock | sha256sum)
venv=missing
if [ -e "$stamp" ] && { read -r stamp_by; read -r stamp_from; } <"$stamp" && [ "$stamp_by" = "$made_by" ]; then
  venv=outdated
  if [ "$stamp_from" = "$made_from" ]; then venv=ready; fi
fi

# --- packages of the distribution ---

find_missing() {
  missing=()
  need iptables       command -v iptables-restore ip6tables-restore xtables-monitor
  need ipset          command -v ipset
  need iproute2       command -v ip tc
  need nftables       command -v nft
  need util-linux     command -v nsenter unshare
  need procps         command -v sysctl
  need kmod           command -v modprobe
  need netbase        ls /etc/protocols /etc/services
  local what
  for what in "${wanted[@]}"; do
    case $what in
    kernels)
      need qemu-system-x86 command -v qemu-system-x86_64
      need debian-archive-keyring ls /usr/share/keyrings/debian-archive-keyring.gpg
      need mmdebstrap  command -v mmdebstrap ;;
    vagrant)
      need debian-archive-keyring ls /usr/share/keyrings/debian-archive-keyring.gpg
      need qemu-system-x86 command -v qemu-system-x86_64
      need mmdebstrap  command -v mmdebstrap
      need qemu-utils  command -v qemu-img
      need e2fsprogs   command -v mke2fs
      need vagrant     command -v vagrant
      need vagrant-libvirt ls -d /usr/share/rubygems-integration/all/gems/vagrant-libvirt-*
      need libvirt-daemon-system command -v libvirtd virtlogd
      need libvirt-clients command -v virsh
      need dnsmasq-base command -v dnsmasq
      need openssh-client command -v ssh-keygen
      need rsync       command -v rsync ;;
    deb)
      need debhelper   command -v dh
      need dpkg-dev    command -v dpkg-shlibdeps
      need binutils    command -v strip ;;
    esac
  done
  [ "$venv" = ready ] && return
  # python-iptables is compiled here.
  need gcc            command -v gcc
  need libc6-dev      ls /usr/include/stdio.h
  need ca-certificates ls /etc/ssl/certs/ca-certificates.crt
  # Debian ships what makes a venv apart from its Python.
  need "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" \
    "$python" -c 'import ensurepip, venv'
}

need() { # PACKAGE COMMAND...: the package is missing if the command fails
  local package=$1 each
  shift
  if [ "$1" = command ]; then # `command -v a b` succeeds if any is found: ask for each
    shift 2
    for each; do command -v "$each" >/dev/null || { missing+=("$package"); return 0; }; done
  else
    "$@" >/dev/null 2>&1 || missing+=("$package")
  fi
}

find_missing
if [ ${#missing[@]} -gt 0 ]; then
  command -v apt-get >/dev/null || fail "this system has no apt-get; it lacks (Debian's names): ${missing[*]}" \
    "install what they hold with this system's own package manager, then run make again"
  [ "$(id -u)" -eq 0 ] || fail "root is needed to install: ${missing[*]}" \
    "sudo apt-get install --no-install-recommends ${missing[*]}"
  say "installing from the distribution: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null || say "apt-get update failed: trying with the package lists of before"
  output=$(apt-get install -qq -y --no-install-recommends "${missing[@]}" 2>&1 </dev/null) || {
    printf '%s\n' "$output" >&2
    fail "apt-get could not install: ${missing[*]}" "its reason is above"
  }
  find_missing
  [ ${#missing[@]} -eq 0 ] || fail "still missing after apt-get: ${missing[*]}"
fi

# What some tests need, and netfw does not: they are skipped by name where it is not there, so this
# machine is as good without. The emulator is the largest (22 MB to download, 106 MB installed;
# NETFW_NO_EMULATOR=1 does without).
case " ${wanted[*]} " in *" tests "*)
  missing=()
  need openssh-client command -v ssh ssh-keygen
  need openssh-server command -v sshd
  need strace      command -v strace
  need man-db      command -v man
  need groff-base  command -v groff
  [ -n "${NETFW_NO_EMULATOR:-}" ] || [ "$(uname -m)" != x86_64 ] ||
    need qemu-system-x86 command -v qemu-system-x86_64
  if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
      say "installing from the distribution, for tests alone: ${missing[*]}"
      # Tests start SSH servers of their own, in namespaces. This machine gets none by it: what
      # starts one on Debian and Ubuntu does not where this file is (sshd's README.Debian).
      case " ${missing[*]} " in *" openssh-server "*)
        say "no SSH server shall run here for that: /etc/ssh/sshd_not_to_be_run"
        mkdir -p /etc/ssh && : >/etc/ssh/sshd_not_to_be_run ;;
      esac
      apt-get update -qq </dev/null || say "apt-get update failed: trying with the package lists of before"
      for package in "${missing[@]}"; do
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" \
          </dev/null >/dev/null 2>&1 || say "apt-get could not install $package: its tests will be skipped"
      done
    else
      say "tests that need these are skipped, as root and apt-get are needed to install them: ${missing[*]}"
    fi
  fi ;;
esac

# --- .venv ---

[ "$venv" = ready ] && exit

# Through a link another checkout's environment would be emptied under its user's feet.
if [ -L .venv ]; then
  [ -x .venv/bin/python ] || fail ".venv is a link to $(readlink .venv), where no Python is"
  say ".venv is a link to $(readlink .venv): used as it is, nothing is installed through it"
  exit
fi

pip_install() {
  .venv/bin/python -m pip --disable-pip-version-check --no-input install -qq \
    --root-user-action=ignore --no-build-isolation --use-pep517 "$@" </dev/null ||
    fail "pip could not install what requirements.lock names" "its reason is above; run make again to go on"
}

say "installing Python packages into .venv ($("$python" -V))"
rm -f "$stamp"
[ "$venv" = outdated ] || "$python" -m venv --clear .venv </dev/null || fail "'$python -m venv' failed"

# Whatever is compiled here is compiled by the setuptools of the lock: install that first.
awk '/^[^ #]/ { wanted = /^setuptools==/ } wanted' requirements.lock >.venv/build-requirements.txt
pip_install --require-hashes --requirement .venv/build-requirements.txt
pip_install --require-hashes --requirement requirements.lock
pip_install --no-deps --editable .

printf '%s\n%s\n' "$made_by" "$made_from" >"$stamp.new"
mv "$stamp.new" "$stamp"
