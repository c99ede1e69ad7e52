#!/bin/sh
# Guess:     HAProxy passes on an interim answer (103 Early Hints) and then the final one, however the server's packets arrive.
# Behaviour: If the head of the final answer arrives together with the interim answer, and its body later, HAProxy takes the answer
#            for complete and drops the body. An HTTP/1.1 client waits for it until a timeout. No rule can prevent it: HAProxy
#            applies none to interim answers, and the server sends the pieces. HTTP/2 clients: haproxy/haproxy#3209.
# Versions:  HAProxy 2.6.12, 3.0.11; not 3.2.26
# Seen:      together with the head: 0 bytes of the body
#            apart: 5 bytes of the body
set -eu
folder=$(mktemp -d)
gate=
server=
trap 'kill $gate $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cat >"$folder/haproxy.cfg" <<END
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend one
    bind unix@$folder/socket
    default_backend there
backend there
    server one unix@$folder/server
END
cat >"$folder/server.py" <<'END'
import socket, sys, time
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
HEAD, BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"hello"
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
while True:
    connection, _ = listener.accept()
    request = connection.recv(65536)
    try:
        for piece in (EARLY + HEAD, BODY) if b"/together" in request else (EARLY, HEAD, BODY):
            connection.sendall(piece)
            time.sleep(0.3)
    except BrokenPipeError:
        pass  # HAProxy has hung up
    connection.close()
END
python3 "$folder/server.py" "$folder/server" & server=$!
haproxy -v | head -1
haproxy -db -f "$folder/haproxy.cfg" >/dev/null 2>&1 & gate=$!
until [ -S "$folder/socket" ] && [ -S "$folder/server" ]; do sleep 0.1; done
ask() { curl -s -m 3 -o "$folder/$1" --unix-socket "$folder/socket" "http://localhost/$1" || true; }
: >"$folder/together"
ask together
ask apart
printf 'together with the head: %s bytes of the body\n' "$(wc -c <"$folder/together")"
printf 'apart: %s bytes of the body\n' "$(wc -c <"$folder/apart")"
[ ! -s "$folder/together" ]
[ "$(cat "$folder/apart")" = hello ]
