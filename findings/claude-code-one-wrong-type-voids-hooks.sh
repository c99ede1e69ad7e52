#!/bin/sh
# Guess:     If one plain field of ~/.claude/settings.json has the wrong type, Claude Code warns and ignores that field, or refuses
#            to start. The hooks in the same file still run: people put guards there.
# Behaviour: The whole file is ignored, hooks included. `claude -p` reports this on stderr, works on without them, and exits
#            with 0. The same text in the managed settings (/etc/claude-code/managed-settings.json) loses only the wrong field:
#            its hooks run.
# Versions:  Claude Code 2.1.332 (npm), Node.js 20, Linux. The API is a local server; nothing else is contacted.
# Seen:      user settings, right: hook ran, exit code 0
#            user settings, wrong type: hook did not run, exit code 0
#            managed settings, wrong type: hook ran, exit code 0
# Needs root, for a mount namespace with an /etc/claude-code of its own.
set -eu
folder=$(mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
npm install --prefix "$folder" --ignore-scripts --no-fund --no-audit --loglevel=error @anthropic-ai/claude-code@2.1.332 >/dev/null
program=$(ls -d node_modules/@anthropic-ai/claude-code-linux-*/claude | head -1)
"./$program" --version

cat >server.py <<'PYTHON'
import http.server, json
EVENTS = [
    {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
     "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.send_error(404)
    do_HEAD = do_GET
    def log_message(self, *arguments):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
open("port", "w").write(str(server.server_port))
server.serve_forever()
PYTHON
python3 server.py & server=$!
until [ -s port ]; do sleep 0.1; done

settings() { # VALUE: settings whose hook leaves a mark
    printf '{"cleanupPeriodDays": %s, "hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": "touch %s/ran"}]}]}}' \
        "$1" "$folder"
}
ask() { # NAME
    rm -f ran
    code=0
    unshare --mount sh -euc '
        mount -t tmpfs none /etc/claude-code 2>/dev/null || { mkdir -p /etc/claude-code; mount -t tmpfs none /etc/claude-code; }
        [ ! -f managed.json ] || cp managed.json /etc/claude-code/managed-settings.json
        exec timeout 120 "$@"' sh env -i PATH="$PATH" HOME="$folder/home" ANTHROPIC_API_KEY=sk-ant-none \
        ANTHROPIC_BASE_URL="http://127.0.0.1:$(cat port)" CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1 \
        "./$program" -p hello </dev/null >out 2>err || code=$?
    echo "$1: hook $([ -e ran ] && echo ran || echo 'did not run'), exit code $code" | tee -a seen
    sed 's/^/    stderr: /' err
}
mkdir -p home/.claude
settings 30 >home/.claude/settings.json
ask 'user settings, right'
settings '"30 days"' >home/.claude/settings.json
ask 'user settings, wrong type'
rm home/.claude/settings.json
settings '"30 days"' >managed.json
ask 'managed settings, wrong type'

[ "$(cat seen)" = 'user settings, right: hook ran, exit code 0
user settings, wrong type: hook did not run, exit code 0
managed settings, wrong type: hook ran, exit code 0' ]
