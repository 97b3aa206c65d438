#!/usr/bin/env bash
# Usage: scripts/local-certificate.sh [--folder FOLDER] [NAME...]
#
# Makes a certificate for this machine, so that phones and other computers of the local network can use
# the server over HTTPS: browsers give pages the camera only then. FOLDER (data/certificate) gets
#   ca.pem    an authority of its own: install it on each device that connects
#   cert.pem  the certificate, for --tls-cert
#   key.pem   its key, for --tls-key
# The certificate holds for localhost, this machine's name, also with .local, its addresses, and each
# NAME. The authority's key is deleted, so that nobody can make other certificates with it.
caller=$PWD
source "$(dirname "$0")/common.sh"

folder=data/certificate
if [ "${1:-}" = --folder ]; then
  [ $# -ge 2 ] || fail "--folder needs a folder."
  folder=$(cd "$caller" && realpath -m -- "$2")
  shift 2
fi
command -v openssl >/dev/null || fail "openssl is needed (Debian and Ubuntu: apt install openssl)."

names=()
host=$(hostname 2>/dev/null || true)
read -ra addresses < <(hostname -I 2>/dev/null || true) || true
for name in localhost "$host" "${host:+$host.local}" 127.0.0.1 ::1 "${addresses[@]}" "$@"; do
  if [ -z "$name" ]; then continue; fi
  [[ $name =~ ^[A-Za-z0-9.:_*-]+$ ]] || fail "'$name' is neither a name nor an address."
  if [[ $name == *:* || $name =~ ^[0-9.]+$ ]]; then names+=("IP:$name"); else names+=("DNS:$name"); fi
done

umask 077
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Apple's devices accept no certificate that holds for longer than 825 days.
days=800
curve=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
openssl req -x509 "${curve[@]}" -days "$days" -subj "/CN=pointstream on ${host:-localhost}, $(date +%F)" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign" \
  -keyout "$work/ca.key" -out "$work/ca.pem" 2>"$work/log" || fail "$(cat "$work/log")"
openssl req -new "${curve[@]}" -subj "/CN=${host:-localhost}" \
  -keyout "$work/key.pem" -out "$work/request.pem" 2>"$work/log" || fail "$(cat "$work/log")"
cat >"$work/extensions" <<EXTENSIONS
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
subjectAltName=$(IFS=,; echo "${names[*]}")
EXTENSIONS
openssl x509 -req -in "$work/request.pem" -CA "$work/ca.pem" -CAkey "$work/ca.key" -days "$days" \
  -set_serial "0x$(openssl rand -hex 16)" -extfile "$work/extensions" -out "$work/cert.pem" \
  2>"$work/log" || fail "$(cat "$work/log")"
mv "$work/ca.pem" "$work/cert.pem" "$work/key.pem" "$folder"
chmod 644 "$folder/ca.pem" "$folder/cert.pem"

echo "The certificate holds for ${names[*]}."
echo "Install $folder/ca.pem on each device, then start the server:"
echo "  make serve ARGS=\"--host 0.0.0.0 --insecure --tls-cert $folder/cert.pem --tls-key $folder/key.pem\""
