-- The gate's own queries to GitHub, with the operator's credential, through a socket that only the gate can reach
-- (network/gate/credential_proxy.py). Loaded by the gate after json.lua.

local SECONDS = 10 -- of silence; the gate passes an answer on when it is whole, so this limits the whole query
local AGENT = "user-agent: codetainer" -- GitHub rejects requests without one

GitHub = {}

-- Sends one request and returns the body of its answer, or nil. HAProxy's HTTP client cannot do this: it sends an unanswered POST
-- four times, and its timeout counts for each attempt (findings/haproxy-lua-post-is-repeated.sh). HTTP/1.0 has no chunks.
local function exchange(line, host, socket, more)
  local connection = core.tcp()
  connection:settimeout(SECONDS)
  if not connection:connect("unix@" .. socket) then return nil end
  connection:send(("%s HTTP/1.0\r\nhost: %s\r\n%s\r\n%s"):format(line, host, AGENT, more))
  local answer = connection:receive("*a") or ""
  connection:close()
  local status, text = answer:match("^HTTP/1%.[01] (%d+).-\r\n\r\n(.*)$")
  return status == "200" and text or nil
end

local function post(host, path, socket, body)
  return exchange("POST " .. path, host, socket, ("content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"):format(#body, body))
end

-- Returns `data` of GitHub's answer, in the form of Json.read, and true if it also has errors. `variables` is JSON. Refuses if
-- there is no such answer.
function GitHub.ask(query, variables, host, path, socket)
  local body = '{"query":' .. Json.quote(query) .. ',"variables":' .. variables .. "}"
  local text = post(host, path, socket, body)
  if not text then refuse(nil, nil, "unanswered") end
  local response = Json.read(text)
  local data = response.fields and response.fields.data
  if type(data) ~= "table" then refuse(nil, nil, "unanswered") end
  return data, response.fields.errors ~= nil
end

-- Returns true if GitHub says that a commit descends from an old one. Source: REST reference, "Compare two commits"; only the first
-- page lists files.
function GitHub.is_ahead(owner, name, old, commit, host, socket)
  local path = ("/repos/%s/%s/compare/%s...%s?per_page=1&page=2"):format(owner, name, old, commit)
  local text = exchange("GET " .. path, host, socket, "accept: application/vnd.github+json\r\n\r\n")
  local fine, answer = pcall(Json.read, text or "")
  local status = fine and answer.fields and answer.fields.status
  return status == "ahead" or status == "identical"
end

-- Returns true if a repository (owner/name) matches one of `push`: owner/repo, owner/* or *, separated by blanks.
function GitHub.fits(repository, push)
  repository = repository:lower()
  for pattern in push:lower():gmatch("%S+") do
    if pattern == repository then return true end
    if pattern:sub(-1) == "*" and repository:sub(1, #pattern - 1) == pattern:sub(1, -2) then return true end
  end
  return false
end

-- Returns the string at the end of a path of names, or nil.
function GitHub.text_of(node, ...)
  for _, key in ipairs({ ... }) do
    node = type(node) == "table" and node.fields and node.fields[key]
  end
  return type(node) == "string" and node or nil
end
