-- How the gate asks GitHub itself, with the operator's credential: over a socket that nobody but the gate reaches
-- (network/gate/credential_proxy.py). Loaded by the gate after json.lua.

local MILLISECONDS = 10000
local SILENT = "GitHub does not say whose objects these are"

GitHub = {}

-- `data` of GitHub's answer, as Json.read returns it. `variables` is JSON. Refuses where there is no such answer.
function GitHub.ask(query, variables, host, path, socket)
  local body = '{"query":' .. Json.quote(query) .. ',"variables":' .. variables .. "}"
  local answer = core.httpclient():post({
    url = "http://" .. host .. path,
    dst = "unix@" .. socket,
    headers = { ["content-type"] = { "application/json" }, ["content-length"] = { tostring(#body) } },
    body = body,
    timeout = MILLISECONDS,
  })
  if not answer or answer.status ~= 200 then refuse(SILENT) end
  local said = Json.read(answer.body)
  local data = said.fields and said.fields.data
  if type(data) ~= "table" then refuse(SILENT) end
  return data
end

-- The text at the end of a path of names; nil if there is none.
function GitHub.text_of(node, ...)
  for _, key in ipairs({ ... }) do
    node = type(node) == "table" and node.fields and node.fields[key]
  end
  return type(node) == "string" and node or nil
end
