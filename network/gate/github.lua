-- The gate's own queries to GitHub, with the operator's credential, through a socket that only the gate can reach
-- (network/gate/credential_proxy.py). Loaded by the gate after json.lua.

local MILLISECONDS = 10000
local NO_ANSWER = "GitHub did not answer the gate's query"

GitHub = {}

-- Returns `data` of GitHub's answer, in the form of Json.read. `variables` is JSON. Refuses if there is no such answer.
function GitHub.ask(query, variables, host, path, socket)
  local body = '{"query":' .. Json.quote(query) .. ',"variables":' .. variables .. "}"
  local answer = core.httpclient():post({
    url = "http://" .. host .. path,
    dst = "unix@" .. socket,
    headers = { ["content-type"] = { "application/json" }, ["content-length"] = { tostring(#body) } },
    body = body,
    timeout = MILLISECONDS,
  })
  if not answer or answer.status ~= 200 then refuse(NO_ANSWER) end
  local response = Json.read(answer.body)
  local data = response.fields and response.fields.data
  if type(data) ~= "table" then refuse(NO_ANSWER) end
  return data
end

-- Returns the string at the end of a path of names, or nil.
function GitHub.text_of(node, ...)
  for _, key in ipairs({ ... }) do
    node = type(node) == "table" and node.fields and node.fields[key]
  end
  return type(node) == "string" and node or nil
end
