#!/bin/sh
# Guess:     Log lines for `log stdout` or `log fd@N` are lost only if the reader is too slow and the pipe is full.
# Behaviour: A thread drops its line if another thread is just writing to the same descriptor and does not finish within some
#            hundred spins: for example because the kernel lets the woken reader run first. The pipe of 1 MB is never full here.
#            With one thread no line is lost. `show info` counts such lines as DroppedLogs.
# Versions:  HAProxy 2.6.12 (Debian 12). Needs root, and haproxy on PATH.
# Seen:      threads 2: 4 to 24 of 200000 lines lost; threads 1: 0 of 200000 lines lost (a few seconds each)
set -eu
if [ "${1-}" != inside ]; then exec unshare --net --mount-proc --pid --fork sh "$0" inside; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
haproxy -v | head -1

cat >client.py <<'PYTHON'
import socket, sys, threading
def ask(number):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect("web.sock")
    for _ in range(number):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += sock.recv(4096)
threads = [threading.Thread(target=ask, args=(12500,)) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
PYTHON

cat >reader.py <<'PYTHON'
import fcntl, os
pipe = os.open("pipe", os.O_RDONLY)
fcntl.fcntl(pipe, 1031, 1 << 20)  # F_SETPIPE_SZ: room for all lines of a second
with open("log", "wb") as log:
    while data := os.read(pipe, 1 << 20):
        log.write(data)
PYTHON

for threads in 2 2 2 2 2 2 1; do # few lines are lost, so some rounds may lose none
    [ "$threads" = 1 ] || [ ! -e seen ] || continue
    cat >haproxy.cfg <<CONFIG
global
    nbthread $threads
    log stdout format raw local0
    stats socket unix@admin.sock mode 600 level admin
defaults
    mode http
    log global
    timeout client 20s
frontend web
    bind unix@web.sock
    log-format "%ci"
    http-request return status 200
CONFIG
    rm -f web.sock admin.sock
    mkfifo pipe
    python3 reader.py & reader=$!
    haproxy -db -f haproxy.cfg >pipe 2>errors & proxy=$!
    until [ -S web.sock ] && [ -S admin.sock ]; do sleep 0.1; done
    python3 client.py & first=$!
    python3 client.py
    wait $first
    sleep 1
    kill $proxy
    wait $proxy $reader 2>/dev/null || true
    rm pipe
    lost=$((200000 - $(wc -l <log)))
    echo "threads $threads: $lost of 200000 lines lost"
    if [ "$threads" = 1 ]; then [ "$lost" = 0 ]; elif [ "$lost" -gt 0 ]; then : >seen; fi
done
[ -e seen ]
