#!/usr/bin/env bash
# Checks the files in deploy/: the Dockerfile with hadolint, compose files against the specification of
# compose, and the others with the programs that read them, where these are installed: the unit with systemd,
# proxies' configurations with HAProxy and nginx, the chart with Helm. No image is built.
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-docs-tools
.venv/bin/hadolint deploy/Dockerfile
.venv/bin/python - deploy/compose*.yaml <<'PYTHON'
import sys
from pathlib import Path

from compose_spec import PyCompose

for name in sys.argv[1:]:
    try:
        PyCompose.from_yaml(Path(name).read_text("utf-8")).validate()
    except ValueError as error:
        sys.exit(f"error: {name}: {error}")
PYTHON

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Debian has them there, where not everyone looks.
PATH=$PATH:/usr/sbin

# quietly COMMAND...: shows its output only if it fails.
quietly() {
  "$@" >"$scratch/output" 2>&1 || {
    cat "$scratch/output" >&2
    fail "'$*' failed."
  }
}

if command -v systemd-analyze >/dev/null; then
  # The program of the unit must exist.
  mkdir "$scratch/bin"
  cp /bin/true "$scratch/bin/pointstream"
  unit=$scratch/pointstream.service
  sed "s|@PREFIX@|$scratch|g; s|@ETC@|$scratch|g" deploy/pointstream.service >"$unit"
  # It warns without a status.
  warnings=$(systemd-analyze verify --man=no "$unit" 2>&1)
  [ -z "$warnings" ] || fail "systemd says about deploy/pointstream.service:" "$warnings"
  # The exposure of the unit, of 100; a service without any sandbox has 96.
  systemd-analyze security --offline=yes --threshold=20 --no-pager "$unit" | tail -n 1
fi

if command -v haproxy >/dev/null; then
  quietly haproxy -c -f deploy/haproxy.cfg
fi

if command -v nginx >/dev/null && command -v openssl >/dev/null; then
  # nginx reads the certificate, too.
  quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=scan.example.org \
    -keyout "$scratch/key.pem" -out "$scratch/cert.pem"
  sed "s|/etc/ssl/scan.example.org.pem|$scratch/cert.pem|; s|/etc/ssl/scan.example.org.key|$scratch/key.pem|" \
    deploy/nginx-gateways.conf >"$scratch/gateways.conf"
  # Everything that it writes is in this folder.
  {
    echo "error_log stderr; pid nginx.pid; events {}"
    echo "http { access_log off; include gateways.conf;"
    for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $kind;"; done
    echo "}"
  } >"$scratch/nginx.conf"
  quietly nginx -t -e stderr -p "$scratch" -c nginx.conf
fi

if command -v helm >/dev/null; then
  # Without the chart of NATS, which must be fetched.
  chart=$scratch/pointstream
  cp -rL deploy/helm/pointstream "$chart"
  rm -rf "$chart/charts" "$chart/Chart.lock"
  sed -i '/^# Only with nats.enabled/,$d' "$chart/Chart.yaml"
  nats=(--set "nats.url=nats://nats:4222")
  everything=(--set "nats.enabled=true,publicUrl=https://scan.example.org,ingress.enabled=true,ingress.tlsSecret=tls"
    --set "workers.autoscaling.enabled=true,gateways.disk=50Gi,env.POINTSTREAM_MODEL=da3-small"
    --set "envFrom[0].secretRef.name=s3,trustedProxies[0]=10.0.0.0/8")
  quietly helm lint --strict "$chart" "${nats[@]}"
  quietly helm template pointstream "$chart" "${nats[@]}"
  quietly helm template pointstream "$chart" "${everything[@]}"
fi
