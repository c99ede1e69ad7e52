#!/bin/sh
# Guess:     `http-request set-var(txn.m) method` keeps the method, and concat(,txn.m) adds its name, as a log line would.
# Behaviour: For a method that HAProxy does not know by itself (PATCH, PROPFIND, lower case, made-up ones), concat() adds OPTIONS.
#            A rule that compares the result then lets PATCH through where it permits OPTIONS. `method,concat(...)` is right.
# Versions:  HAProxy 2.6.12
# Seen:      GET: variable GET, converter GET
#            PATCH: variable OPTIONS, converter PATCH
set -eu
folder=$(mktemp -d)
gate=
trap 'kill $gate 2>/dev/null || true; rm -rf "$folder"' EXIT
cat >"$folder/haproxy.cfg" <<END
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend one
    bind unix@$folder/socket
    http-request set-var(txn.nothing) str()
    http-request set-var(txn.method) method
    http-request set-var(txn.variable) str(),concat(,txn.method)
    http-request set-var(txn.converter) method,concat(,txn.nothing)
    http-request return status 200 content-type text/plain lf-string "variable %[var(txn.variable)], converter %[var(txn.converter)]\n"
END
haproxy -v | head -1
haproxy -db -f "$folder/haproxy.cfg" >/dev/null 2>&1 & gate=$!
until [ -S "$folder/socket" ]; do sleep 0.1; done
ask() { printf '%s: ' "$1"; curl -s -X "$1" --unix-socket "$folder/socket" http://localhost/; }
ask GET
ask PATCH | tee "$folder/patch"
grep -q 'variable OPTIONS, converter PATCH' "$folder/patch"
