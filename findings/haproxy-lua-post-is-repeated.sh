#!/bin/sh
# Guess:     HAProxy's HTTP client for Lua (core.httpclient) sends a request once. A POST is not idempotent, and the reference
#            of its `timeout` says that a request ends after that time.
# Behaviour: A POST that the server reads and does not answer is sent four times, on a new connection each, before the client gives
#            up: the timeout counts for each attempt. A script that waits 2 s at most waits 8 s, and the server has four requests.
#            (`retries 3` and `option redispatch` of the internal proxy apply, and its retry-on covers response timeouts.)
# Versions:  HAProxy 2.6.12 (Debian 12), 3.0.11 (Debian 13), 3.2.26. Uses the haproxy on PATH, or installs Debian's package into a temporary folder.
# Seen:      requests: 4, of POST /once HTTP/1.1, seconds and status: 8 504
set -eu
folder=$(mktemp -d)
trap 'kill $haproxy $server 2>/dev/null || true; rm -rf "$folder"' EXIT
haproxy= server=
cd "$folder"
if ! command -v haproxy >/dev/null; then
    apt-get -q download haproxy liblua5.3-0 libopentracing-c-wrapper0 >/dev/null
    for package in *.deb; do dpkg -x "$package" root; done
    export PATH="$folder/root/usr/sbin:$PATH" LD_LIBRARY_PATH="$folder/root/usr/lib/$(uname -m)-linux-gnu"
fi
haproxy -v | head -1

cat >server.py <<'PYTHON'
import socket, threading, time
listening = socket.create_server(("127.0.0.1", 0))
open("port", "w").write(str(listening.getsockname()[1]))
def hold(connection):
    data = connection.recv(65536)
    if data:
        open("requests", "a").write(data.split(b"\r\n")[0].decode() + "\n")
    time.sleep(30)
while True:
    connection, _ = listening.accept()
    threading.Thread(target=hold, args=(connection,), daemon=True).start()
PYTHON
python3 server.py & server=$!
until [ -s port ]; do sleep 0.1; done

cat >post.lua <<LUA
core.register_task(function()
    core.sleep(1)
    local begun = core.now()
    local answer = core.httpclient():post{url = "http://127.0.0.1:$(cat port)/once", body = "x", timeout = 2000}
    local file = io.open("done", "w")
    file:write(core.now().sec - begun.sec, " ", tostring(answer and answer.status))
    file:close()
end)
LUA
cat >haproxy.cfg <<'CONFIG'
global
    lua-load post.lua
    log stdout local0
defaults
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend none
    mode http
    bind unix@none.sock
CONFIG
haproxy -db -f haproxy.cfg >haproxy.log 2>&1 & haproxy=$!
for _ in $(seq 300); do [ -s done ] && break; sleep 0.1; done
cat haproxy.log | head -5
echo "requests: $(wc -l <requests), of $(sort -u requests), seconds and status: $(cat done)"
[ "$(wc -l <requests)" = 4 ]
