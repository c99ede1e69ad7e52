#!/bin/sh
# Guess:     `http-error status 400` (or errorfile 400) of a frontend replaces the answer to every request that HAProxy refuses with
#            400, and its log-format can use the variables of the transaction.
# Behaviour: A request that the HTTP/1 parser rejects (two different Host headers, TLS on a port for HTTP) is answered by the parser
#            with HAProxy's built-in page. It is logged without a transaction: only variables of the session have a value.
# Versions:  HAProxy 2.6.12 (Debian 12). Needs haproxy and unshare (root, for a network of its own).
# Seen:      HTTP/1.1 400 Bad request, built-in page; log: txn=- sess=127.0.0.1 PR
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
haproxy -v | head -1

cat >haproxy.cfg <<'CONFIG'
global
    log stdout format raw local0
defaults
    log global
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend web
    bind 127.0.0.1:8080
    http-error status 400 content-type text/plain string "ours"
    tcp-request connection set-var(sess.address) dst
    http-request set-var(txn.verdict) str(set)
    log-format "txn=%[var(txn.verdict)] sess=%[var(sess.address)] %ts"
    http-request return status 200
CONFIG
cat >ask.py <<'PYTHON'
import socket, time
for _ in range(100):
    try:
        with socket.create_connection(("127.0.0.1", 8080), 5) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n")
            answer = b"".join(iter(lambda: sock.recv(4096), b"")).decode()
        break
    except ConnectionRefusedError:
        time.sleep(0.1)
print(answer.splitlines()[0], "built-in page" if "Your browser sent" in answer else "ours", sep=", ")
PYTHON
unshare --net sh -c 'ip link set lo up; haproxy -db -f haproxy.cfg >log 2>&1 & python3 ask.py >answer; kill $!; wait' || true
cat answer log
grep -q "built-in page" answer
grep -q "txn=- sess=127.0.0.1 PR" log
