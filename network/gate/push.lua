-- Decides if a git push may pass: it may not delete, or move except forwards, the default branch or a protected one, and it may
-- not delete or move a tag. Loaded by the gate after branches.lua and pack.lua (rules: network/gate/scope.py).
-- Sources: gitprotocol-pack(5), "Pushing Data To a Server"; gitprotocol-common(5), "pkt-line Format".
--
-- A push begins with its commands: old id, new id and name of each ref. A server rejects a command whose old id is not the ref's,
-- but not if it deletes the ref, and not a second command for the same ref: neither passes here without a look-up. So a command is
-- a fast-forward if the new commit descends from the old one. The commits at the start of the pack show this, and
-- GitHub knows the descent of commits that it already has. Ordinary pushes need no question to GitHub.
--
-- The action `push_commands` reads txn.path (/OWNER/REPO/git-receive-pack), txn.asks_host, txn.graphql_path and txn.graphql_ask.
-- If txn.references is set (references.lua), it also reads the text of all commits and tags, and refuses those that refer elsewhere.
-- It decides (json.lua) through txn.push, and sets txn.push_answer to the refusal in git's protocol, or "" if the
-- client asks for another form. The service `refused_push` sends that answer, once it has read the whole push: git shows nothing of
-- an answer with another status than 200, and HAProxy would reset the stream of a client that is still sending.

local MAX_ASKED = 20 -- branches that are no proven fast-forwards, and commits at GitHub of which one must descend from the old one
local MAX_NAMED = 4 -- refs of a push in the log
local ZERO = "^0+$"
local MAX_ANSWER = 60000 -- bytes; a pkt-line has at most 65520

Push = {}

-- Returns a name that may be part of a message in JSON.
local function shown(name) return (name:gsub("[^%w%._/-]", "?"):sub(1, 100)) end

-- Returns the commands at the start of a push, the position of its pack, and the client's capabilities between blanks. Refuses
-- options of the push unless `options` is true: forges change settings with them (`git push -o repo.private=false`).
function Push.commands(body, options)
  local found, at, first, capabilities = {}, 1, true, ""
  local function line()
    local size = body:match("^%x%x%x%x", at)
    if not size and #body - at < 3 then refuse("push_long") end
    if not size then refuse("push") end
    size = tonumber(size, 16)
    if size == 0 then
      at = at + 4
      return nil
    end
    if size < 5 then refuse("push") end
    if at + size - 1 > #body then refuse("push_long") end
    local text = body:sub(at + 4, at + size - 1)
    at = at + size
    return text
  end
  for text in line do
    text = text:gsub("\n$", "")
    local shallow = first and text:find("^shallow %x+$")
    if not shallow then
      if first then
        local command, wanted = text:match("^([^\0]*)\0([^\0]*)$")
        if not command then refuse("push") end
        text, capabilities, first = command, " " .. wanted .. " ", false
      end
      local old, new, name = text:match("^(%x+) (%x+) (%g+)$")
      if not old or #old ~= #new or (#old ~= 40 and #old ~= 64) then refuse("push") end
      found[#found + 1] = { old = old:lower(), new = new:lower(), name = name }
    end
  end
  if capabilities:find(" push-options ", 1, true) then
    for option in line do
      if not options then refuse("push_option", shown(option), "not_granted") end
    end
  end
  return found, at, capabilities
end

local function pkt(text) return ("%04x%s"):format(#text + 4, text) end

-- Returns the answer of a server that refuses all commands of a push, or "". Source: gitprotocol-pack(5), "Report Status".
function Push.answer(body, why)
  local fine, commands, _, capabilities = pcall(Push.commands, body, true)
  if not fine or not capabilities:find(" side%-band%-64k ") or not capabilities:find(" report%-status[ -]") then return "" end
  local report = pkt("unpack ok\n")
  for _, command in ipairs(commands) do report = report .. pkt("ng " .. command.name .. " refused by the sandbox\n") end
  local answer = pkt("\2codetainer: " .. why .. "\n") .. pkt("\1" .. report .. "0000") .. "0000"
  return #answer <= MAX_ANSWER and answer or ""
end

-- Returns true if the new commit descends from the old one: in the pack, or by way of a commit of which `is_ahead(old, commit)`.
function Push.is_forward(command, objects, is_ahead)
  if command.old == command.new then return true end
  local seen, todo, known = { [command.new] = true }, { command.new }, {}
  while #todo > 0 do
    local id = table.remove(todo)
    local parents = objects[id] and objects[id].parents
    if not parents then known[#known + 1] = id end
    for _, parent in ipairs(parents or {}) do
      if parent == command.old then return true end
      if not seen[parent] then
        seen[parent], todo[#todo + 1] = true, parent
      end
    end
  end
  if #known > MAX_ASKED then return false end
  for _, id in ipairs(known) do
    if is_ahead(command.old, id) then return true end
  end
  return false
end

-- Returns true if a command may pass only at a branch that is not guarded: it deletes the branch, or perhaps forces it.
local function has_to_be_looked_up(command, is_proven)
  if not Branches.may_name(command.name) then refuse("no_ref", shown(command.name), "not_granted") end
  local deletes = command.new:find(ZERO) ~= nil
  if command.name:find("^refs/heads/.") then
    return deletes or not (command.old:find(ZERO) or is_proven(command))
  end
  if command.name:find("^refs/tags/.") and (deletes or not command.old:find(ZERO)) then
    refuse("ref", shown(command.name), "tag")
  end
  return false
end

-- Refuses a push if its refs, or a commit or tag that it brings, refer to anything outside `allowed` (references.lua). `has(id)` is true if the
-- repository has a commit.
--
-- Everything that the new refs lead to must be in the part of the pack that the gate has read, or at GitHub already, because a client can
-- hide a commit behind files. The server guarantees this for the old id of a command, but only to that command: it may reject single ones.
local function refuse_references(commands, objects, allowed, has)
  local contents, missing, number = {}, {}, 0
  local function targets_of(id)
    if contents[id] == nil and objects[id] then
      local targets, message = Pack.contents(objects[id])
      if not targets then refuse("text_unread", nil, "reference") end
      References.check(message, allowed)
      contents[id] = targets
    end
    return contents[id]
  end
  for _, command in ipairs(commands) do
    References.check(command.name, allowed)
    local seen, todo = { [command.old] = true }, { command.new }
    while #todo > 0 do
      local id = table.remove(todo)
      if not seen[id] and not id:find(ZERO) then
        seen[id] = true
        local targets = targets_of(id)
        if not targets and not missing[id] then
          missing[id], number = true, number + 1
          if number > MAX_ASKED then refuse("text_unread", nil, "reference") end
        end
        for _, target in ipairs(targets or {}) do todo[#todo + 1] = target end
      end
    end
  end
  for id in pairs(missing) do
    if not has(id) then refuse("text_unread", nil, "reference") end
  end
end

-- Returns the commands of a push; refuses one that may not pass. `look_up` returns the reason why each of some branches is guarded, by name
-- (branches.lua). `allowed` are the repositories to which text may refer; nil if text is not read.
function Push.judge(body, sha1, is_ahead, look_up, allowed)
  local commands, at = Push.commands(body)
  local objects, wanted, seen = nil, {}, {}
  local function read()
    objects = objects or Pack.objects(body, at, sha1)
    return objects
  end
  local function forward(command, ask) return Push.is_forward(command, read(), ask) end
  for _, command in ipairs(commands) do
    if seen[command.name] then refuse("push_twice", shown(command.name)) end
    seen[command.name] = true
    local function is_proven(one) return forward(one, function() return false end) end
    if has_to_be_looked_up(command, is_proven) then wanted[#wanted + 1] = command end
  end
  if #wanted > MAX_ASKED then refuse("push_many") end
  if allowed then
    refuse_references(commands, read(), allowed, function(id) return is_ahead(id, id) end)
  end
  if #wanted == 0 then return commands end
  local names = {}
  for number, command in ipairs(wanted) do names[number] = command.name end
  local guarded = look_up(names)
  for _, command in ipairs(wanted) do
    local why, short = guarded[command.name], shown(command.name:sub(#"refs/heads/" + 1))
    if why and command.new:find(ZERO) then refuse("ref", short, why == "default" and "default_branch" or "protected_branch") end
    if why and not forward(command, is_ahead) then refuse("ref", short, "force_push") end
  end
  return commands
end

-- Describes the commands of a push, for the log.
function Push.written(commands)
  local names = {}
  for number, command in ipairs(commands) do
    if number > MAX_NAMED then break end
    local name = shown(command.name):gsub("^refs/heads/", "")
    names[number] = command.new:find(ZERO) and "deleted " .. name or name
  end
  local more = #commands > MAX_NAMED and (" and %d more"):format(#commands - MAX_NAMED) or ""
  return table.concat(names, ", ") .. more
end

core.register_action("push_commands", { "http-req" }, function(txn)
  local function of(name) return txn:get_var("txn." .. name) or "" end
  local body = txn.sf:req_body() or ""
  decide(txn, "push", function()
    local owner, name = of("path"):match("^/([^/]+)/([^/]+)/[^/]+$")
    if not owner then refuse("push") end
    name = name:gsub("%.git$", "")
    local commands = Push.judge(body, function(text) return txn.c:sha1(text) end, function(old, commit)
      return GitHub.is_ahead(owner, name, old, commit, of("asks_host"), of("graphql_ask"))
    end, function(names)
      return Branches.guarded(owner, name, names, of("asks_host"), of("graphql_path"), of("graphql_ask"))
    end, txn:get_var("txn.references"))
    txn:set_var("txn.wrote", ("push to %s/%s: %s"):format(shown(owner), shown(name), Push.written(commands)))
  end)
  local why = of("push")
  txn:set_var("txn.push_answer", why == "fine" and "" or Push.answer(body, why))
  if why ~= "fine" then report(txn) end
end)

core.register_service("refused_push", "http", function(applet)
  repeat
    local piece = applet:receive(65536)
  until not piece or #piece == 0
  local answer = applet:get_var("txn.push_answer") or ""
  applet:set_status(200)
  applet:add_header("content-type", "application/x-git-receive-pack-result")
  applet:add_header("content-length", tostring(#answer))
  applet:start_response()
  applet:send(answer)
end)
