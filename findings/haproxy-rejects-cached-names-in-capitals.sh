#!/bin/sh
# Guess:     Letter case does not matter in DNS: once one client has asked for EXAMPLE.test, HAProxy gets the address of
#            example.test from the same resolver.
# Behaviour: CoreDNS answers from its cache with the records of the first question: the question section has the name as asked
#            now, the record has it as asked then. HAProxy compares names byte by byte, counts the answer as invalid, and
#            do-resolve finds no address until the record has left the cache. dnspython accepts the same answer.
# Versions:  CoreDNS 1.14.7 with miekg/dns 1.1.72; HAProxy 2.6.12 (Debian 12). Needs root, Go, Python with venv, and haproxy on PATH.
# Seen:      asked in lower case first: 200
#            asked in capitals first: 503, invalid: 1; dnspython: 192.0.2.1
set -eu
if [ "${1-}" != inside ]; then
    folder=$(mktemp -d)
    trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
    cp "$0" "$folder/finding.sh"
    cd "$folder"
    cat >go.mod <<'MODULE'
module finding
go 1.24
MODULE
    cat >main.go <<'MAIN'
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/forward"
)

func init() { dnsserver.Directives = []string{"bind", "cache", "forward"} }
func main() { coremain.Run() }
MAIN
    go get -v github.com/coredns/coredns@v1.14.7 >go.log 2>&1 || { cat go.log; exit 1; }
    go mod tidy >>go.log 2>&1
    go build -o coredns .
    python3 -m venv venv
    venv/bin/pip install -q dnspython==2.8.0
    unshare --net --mount-proc --pid --fork sh finding.sh inside
    exit
fi
ip link set lo up
./coredns -version | head -1
haproxy -v | head -1
cat >Corefile <<'CONFIG'
.:53 {
    bind 127.0.0.1
    cache 60
    forward . 127.0.0.1:5300
}
CONFIG
# As most servers do, it answers with the name as it was asked: the record points to the question.
cat >authority.py <<'PYTHON'
import socket
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 5300))
while True:
    query, address = sock.recvfrom(2000)
    end = query.index(b"\0", 12) + 5
    count, record = (b"\0\1", RECORD) if query[end - 4 : end - 2] == b"\0\1" else (b"\0\0", b"")  # none for AAAA
    sock.sendto(query[:2] + b"\x81\x80\0\1" + count + b"\0\0\0\0" + query[12:end] + record, address)
PYTHON
python3 authority.py &
./coredns -conf Corefile >coredns.log 2>&1 &
look_up() { venv/bin/python -c '
import sys
import dns.message, dns.query
answer = dns.query.udp(dns.message.make_query(sys.argv[1], "A"), "127.0.0.1", timeout=5)
print(answer.resolve_chaining().answer[0].address)' "$1"; }
for _ in 1 2 3 4 5 6 7 8 9 10; do look_up ready.test >/dev/null 2>&1 && break; sleep 0.5; done
cat >haproxy.cfg <<'CONFIG'
global
    stats socket unix@admin.sock
defaults
    mode http
    timeout client 9s
    timeout connect 9s
    timeout server 9s
resolvers names
    nameserver only 127.0.0.1:53
    resolve_retries 1
    timeout retry 1s
frontend web
    bind unix@web.sock
    http-request do-resolve(txn.address,names,ipv4) req.hdr(host)
    http-request return status 503 unless { var(txn.address) -m found }
    http-request return status 200
CONFIG
haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -S web.sock ] && break; sleep 0.5; done
ask() { curl -s -o /dev/null -w '%{http_code}' --unix-socket web.sock "http://$1/"; }
counter() { printf 'show resolvers names\n' | python3 -c '
import socket, sys
with socket.socket(socket.AF_UNIX) as admin:
    admin.connect("admin.sock")
    admin.sendall(sys.stdin.buffer.read())
    print(b"".join(iter(lambda: admin.recv(4096), b"")).decode())' | sed -n 's/^ *invalid: *//p'; }
look_up lower.test >/dev/null
lower=$(ask lower.test)
echo "asked in lower case first: $lower"
look_up CAPITALS.test >/dev/null
capitals=$(ask capitals.test) invalid=$(counter) found=$(look_up capitals.test)
echo "asked in capitals first: $capitals, invalid: $invalid; dnspython: $found"
[ "$lower $capitals $invalid $found" = "200 503 1 192.0.2.1" ]
