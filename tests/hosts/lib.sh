# shellcheck shell=bash
# What the scripts of this folder share. Source it.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
checkout=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/catmaid.admin
export CONTAINERS_CONF=$here/containers.conf

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

podman() {
  as_root env "CONTAINERS_CONF=$CONTAINERS_CONF" podman "$@"
}

# Install the Debian packages that are missing. Needs no network when none is.
apt_install() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "Installing ${missing[*]}" >&2
  as_root apt-get -o DPkg::Lock::Timeout=300 update -qq >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
    --no-install-recommends "${missing[@]}" >/dev/null
}

wait_until_booted() {
  local name=$1 state='' deadline=$((SECONDS + 90))
  while [ $SECONDS -lt $deadline ]; do
    # Fails while the system bus does not answer yet.
    state=$(podman exec "$name" systemctl is-system-running --wait 2>/dev/null) && return
    [ "$state" = degraded ] && break
    sleep 0.2
  done
  echo "$name did not boot: ${state:-no answer from systemd}" >&2
  podman exec "$name" systemctl --failed --no-pager >&2
  return 1
}

# Print how ssh reaches a container by a name, with the key and the connections of a group's folder.
ssh_entry() {
  cat <<HOST
Host $1
  HostName $(podman inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$2")
  User root
  IdentityFile $3/key
  IdentitiesOnly yes
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
  ControlMaster auto
  ControlPersist 60s
  ControlPath $3/%n
HOST
}
