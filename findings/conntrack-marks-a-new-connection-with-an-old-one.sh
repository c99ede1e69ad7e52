#!/bin/sh
# Guess:     A new TCP connection gets a conntrack entry of its own: `ct state new` matches its SYN, and its ct mark is 0 until a
#            rule sets it. Linux gives a local port to a new connection only if nothing remembers the old one.
# Behaviour: A port is free as soon as no socket has it. conntrack remembers its last connection for longer: 10 s after a reset
#            by the server. If another process connects from this port to the same address, its SYN belongs to the old entry:
#            `ct state new` does not match, and the ct mark is that of the other process. From any other port it is as guessed.
# Versions:  nftables 1.0.6 (Debian 12), Linux 6.18 (nf_conntrack_proto_tcp.c: SYN in state CLOSE). Needs root, and nft.
# Seen:      same port: not new, the mark of the first process; other port: new, its own mark
set -eu
if [ "${1-}" != inside ]; then exec unshare --net --mount-proc --pid --fork sh "$0" inside; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
echo "nftables $(nft --version | sed 's/nftables v\([^ ]*\).*/\1/'), Linux $(uname -r)"
ip link set lo up

# The owner of a new connection is its mark. The counters are of SYNs of the second process.
nft -f - <<'RULES'
table inet owners {
  counter new_own {}
  counter new_foreign {}
  counter old_own {}
  counter old_foreign {}
  chain out {
    type filter hook output priority 0
    ct state new meta skuid 1001 ct mark set 1001
    ct state new meta skuid 1002 ct mark set 1002
    tcp flags & (syn | ack) != syn return
    meta skuid != 1002 return
    ct state new ct mark 1002 counter name new_own
    ct state new ct mark != 1002 counter name new_foreign
    ct state != new ct mark 1002 counter name old_own
    ct state != new ct mark != 1002 counter name old_foreign
  }
}
RULES

cat >server.py <<'PYTHON'
import socket, struct
server = socket.create_server(("127.0.0.1", 9000))
open("listening", "w").close()
while True:
    connection, _ = server.accept()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()  # with a reset
PYTHON
cat >client.py <<'PYTHON'
import socket, sys
sock = socket.socket()
sock.bind(("127.0.0.1", int(sys.argv[1])))
sock.connect(("127.0.0.1", 9000))
try:
    sock.recv(1)
except ConnectionResetError:
    pass
PYTHON
/usr/bin/python3 -I server.py &
until [ -e listening ]; do sleep 0.05; done
connect() { setpriv --reuid="$1" --clear-groups /usr/bin/python3 -I client.py "$2"; } # UID PORT
syns() { # what the counters have seen since the last call
    for name in new_own new_foreign old_own old_foreign; do
        nft reset counter inet owners "$name" | grep -q 'packets [1-9]' && echo "$name"
    done
    true
}

connect 1001 20001
connect 1002 20001
same=$(syns)
connect 1002 20002
other=$(syns)
echo "same port: $same; other port: $other"
[ "$same" = old_foreign ] && [ "$other" = new_own ]
