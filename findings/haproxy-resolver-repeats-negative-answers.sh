#!/bin/sh
# Guess:     `resolve_retries` of a resolvers section counts repetitions of queries without an answer: NXDOMAIN is an answer, so
#            do-resolve fails at once.
# Behaviour: With resolve_retries 2, every negative answer (NXDOMAIN, NODATA, SERVFAIL, REFUSED, truncated) is asked for again
#            after `timeout retry`, for A and for AAAA: four queries, and do-resolve waits that long. With resolve_retries 1 it
#            fails at once, after two queries, but a lost query is not repeated either.
# Versions:  HAProxy 2.6.12 (Debian 12), 3.0.11 (Debian 13), 3.2.26. Needs root, and haproxy on PATH.
# Seen:      retries 2: 4 queries, 2.0 s; retries 1: 2 queries, 0.0 s
set -eu
if [ "${1-}" != inside ]; then exec unshare --net --mount-proc --pid --fork sh "$0" inside; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
ip link set lo up
haproxy -v | head -1

cat >dns.py <<'PYTHON'
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 53))
open("ready", "w").write("x")
while True:
    query, address = sock.recvfrom(2000)
    open("queries", "a").write("x\n")
    end = query.index(b"\0", 12) + 5
    sock.sendto(query[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + query[12:end], address)
PYTHON
python3 dns.py &
until [ -s ready ]; do sleep 0.1; done

for retries in 2 1; do
    cat >haproxy.cfg <<CONFIG
defaults
    timeout client 9s
    timeout connect 9s
    timeout server 9s
resolvers names
    nameserver only 127.0.0.1:53
    resolve_retries $retries
    timeout retry 2s
frontend web
    mode http
    bind unix@web.sock
    http-request do-resolve(txn.address,names,ipv4) str(gone.test)
    http-request return status 200
CONFIG
    : >queries
    rm -f web.sock
    haproxy -db -f haproxy.cfg >haproxy.log 2>&1 &
    until [ -S web.sock ]; do sleep 0.1; done
    seconds=$(curl -s -o /dev/null -w '%{time_total}' --unix-socket web.sock http://x/)
    kill $!
    echo "retries $retries: $(wc -l <queries) queries, $seconds s"
    [ "$(wc -l <queries)" = $((retries * 2)) ]
done
