-- Logs a refusal at once. HAProxy logs a request when it ends, which a client can delay by withholding the rest of the request.
-- Loaded by the gate. The backend has the log's target (network/gate/credential_proxy.py).

-- The line has the format of requests in network/gate/haproxy.py. Then sets txn.reported, so that rules can keep HAProxy from logging
-- a second line.
function report(txn)
  local function of(name) return txn.sf:var(name) end
  txn:log(core.info, ("%s https/-- %s %s 0 0 0 %s %s %s"):format(of("txn.verdict"), of("sess.address"), of("sess.port"),
    of("sess.name"), of("txn.cookies"), of("txn.detail")))
  txn:set_var("txn.reported", "yes")
end

core.register_action("report", { "http-res" }, report)
