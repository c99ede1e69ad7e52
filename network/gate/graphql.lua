-- Decides if a GraphQL request writes only to repositories that may be pushed to. Loaded by the gate after branches.lua.
--
-- A document without the word `mutation` only reads and passes. Any other document is parsed strictly: it must have exactly one
-- meaning, all its mutations must be allowed, and the gate asks GitHub which repository each object belongs to.
-- Sources: RFC 8259; GraphQL specification, October 2021; GitHub's GraphQL reference (nodes, RepositoryNode).
--
-- The action `graphql_scope` reads txn.name (the host), txn.graphql_push (repositories separated by blanks: owner/repo, owner/* or
-- *), txn.references (references.lua), txn.graphql_mutations and txn.graphql_inputs (names of mutations, and of the fields of their
-- inputs), txn.graphql_path and txn.graphql_ask (the socket for queries with the operator's credential). It decides (json.lua) through txn.graphql.

local MAX_NAMED = 4 -- mutations in the log
local MAX_OBJECTS = 100 -- GitHub's own limit for nodes(ids:)
local WORD = "%f[%w_]mutation%f[^%w_]"
local MAX_DEPTH, NULL = Json.MAX_DEPTH, Json.NULL

-- --- GraphQL: the tokens and mutations of a document ---

local function tokens(text)
  local found, at, returns = {}, 1, text:find("\r", 1, true)
  while true do
    at = text:find("[^ \t\n,]", at)
    if not at then return found end
    local character = text:sub(at, at)
    if character == "#" then
      at = text:find("\n", at, true) or #text + 1
      if returns then refuse("comments") end
    elseif text:sub(at, at + 2) == '"""' then
      local stop = text:find('"""', at + 3, true) or refuse("string")
      if text:find('^"', stop + 3) or text:find('^\\', stop - 1) then refuse("string_end") end
      found[#found + 1], at = { kind = "string", text = text:sub(at + 3, stop - 1), block = true }, stop + 3
    elseif character == '"' then
      local stop = at + 1
      while true do
        stop = text:find('["\\%c]', stop) or refuse("string")
        local mark = text:sub(stop, stop)
        if mark == '"' then break end
        if mark ~= "\\" and mark ~= "\t" then refuse("string") end
        if mark == "\\" and not text:find('^["\\/bfnrtu]', stop + 1) then refuse("string") end
        stop = stop + (mark == "\\" and 2 or 1)
      end
      found[#found + 1], at = { kind = "string", text = text:sub(at + 1, stop - 1) }, stop + 1
    elseif character:find("[%a_]") then
      local name = text:match("^[%a_][%w_]*", at)
      found[#found + 1], at = { kind = "name", text = name }, at + #name
    elseif character:find("[%d-]") then
      local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at) or refuse("number")
      if text:find("^[%w_.]", at + #number) then refuse("number") end
      found[#found + 1], at = { kind = "number", text = number }, at + #number
    elseif text:sub(at, at + 2) == "..." then
      found[#found + 1], at = { kind = "...", text = "..." }, at + 3
    elseif character:find("[!$&()%[%]:={|}@]") then
      found[#found + 1], at = { kind = character, text = character }, at + 1
    elseif character == "\r" then
      at = at + 1
    else
      refuse("character")
    end
  end
end

local Reader = {}
Reader.__index = Reader

function Reader.new(text, variables) return setmetatable({ tokens = tokens(text), at = 1, variables = variables }, Reader) end

function Reader:peek() return (self.tokens[self.at] or { kind = "end" }).kind end

function Reader:take(kind)
  local token = self.tokens[self.at]
  if not token or token.kind ~= kind then refuse("query") end
  self.at = self.at + 1
  return token.text
end

function Reader:may_take(kind)
  if self:peek() ~= kind then return false end
  self.at = self.at + 1
  return true
end

local CLOSES = { ["("] = ")", ["["] = "]", ["{"] = "}" }

-- Skips a bracketed part with its brackets; returns true if it contains a default value (=).
function Reader:skip(open)
  self:take(open)
  local expected, defaults = { CLOSES[open] }, false
  while #expected > 0 do
    local kind = self:peek()
    if kind == "end" then refuse("query") end
    self.at = self.at + 1
    if kind == "=" then defaults = true end
    if CLOSES[kind] then
      expected[#expected + 1] = CLOSES[kind]
    elseif kind == ")" or kind == "]" or kind == "}" then
      if table.remove(expected) ~= kind then refuse("query") end
    end
  end
  return defaults
end

-- Parses a value into the form of Json.read. An enum value becomes a table without fields or items.
function Reader:value(depth)
  if depth > MAX_DEPTH then refuse("query") end
  local kind = self:peek()
  if self:may_take("$") then
    local value = self.variables.fields[self:take("name")]
    if value == nil then return NULL end
    return value
  elseif kind == "string" then
    local token = self.tokens[self.at]
    self.at = self.at + 1
    if token.block or token.text:find("\\", 1, true) then return { written = token.text, block = token.block } end
    return token.text
  elseif kind == "number" then
    return tonumber(self:take("number"))
  elseif kind == "name" then
    local name = self:take("name")
    if name == "true" or name == "false" then return name == "true" end
    if name == "null" then return NULL end
    return { enum = name }
  elseif self:may_take("[") then
    local list = { items = {} }
    while not self:may_take("]") do list.items[#list.items + 1] = self:value(depth + 1) end
    return list
  end
  self:take("{")
  local object = { fields = {} }
  while not self:may_take("}") do
    local name = self:take("name")
    self:take(":")
    if object.fields[name] ~= nil then refuse("query_twice") end
    object.fields[name] = self:value(depth + 1)
  end
  return object
end

-- Returns the mutations of a document, each as { name, input }; empty if the word `mutation` is only in a string or comment.
local function mutations(text, variables)
  local reader, found, operations = Reader.new(text, variables), {}, 0
  while reader:peek() ~= "end" do
    local word = "query"
    if reader:peek() ~= "{" then word = reader:take("name") end
    if word == "fragment" then
      reader:take("name")
      if reader:take("name") ~= "on" then refuse("query") end
      reader:take("name")
    else
      operations = operations + 1
      if reader:peek() == "name" then reader:take("name") end
      if reader:peek() == "(" and reader:skip("(") and word == "mutation" then refuse("default_value") end
    end
    if word == "mutation" then
      reader:take("{")
      while not reader:may_take("}") do
        local name = reader:take("name") -- not a fragment, which could contain other mutations
        if reader:may_take(":") then name = reader:take("name") end
        reader:take("(")
        if reader:take("name") ~= "input" then refuse("arguments") end
        reader:take(":")
        found[#found + 1] = { name = name, input = reader:value(0) }
        reader:take(")")
        if reader:peek() == "{" then reader:skip("{") end
      end
    elseif word == "query" or word == "fragment" then
      while reader:may_take("@") do
        reader:take("name")
        if reader:peek() == "(" then reader:skip("(") end
      end
      reader:skip("{")
    else
      refuse("query")
    end
  end
  if #found > 0 and operations > 1 then refuse("operations") end
  return found
end

-- --- the objects in a mutation's input ---

local function names_objects(key)
  if key == "clientMutationId" or key:find("O[Ii][Dd]s?$") then return false end
  return key == "id" or key == "ids" or key == "inReplyTo" or key:find("I[Dd]s?$") ~= nil
end

-- Collects the object ids and the repository names below a value.
local function collect(value, found)
  if type(value) ~= "table" or value == NULL then return end
  for _, item in ipairs(value.items or {}) do collect(item, found) end
  for key, inner in pairs(value.fields or {}) do
    local named = key == "repositoryNameWithOwner" and found.repositories or names_objects(key) and found.ids
    if named and inner ~= NULL then
      for _, one in ipairs(type(inner) == "table" and inner.items or { inner }) do
        if type(one) ~= "string" or one == "" then refuse("id") end
        if not named[one] then named[one], named[#named + 1] = true, one end
      end
    elseif not named then
      collect(inner, found)
    end
  end
end

-- Types that belong to no repository: a mutation names them as a reviewer or assignee, or as the type of an issue.
local HARMLESS = { User = true, Bot = true, Mannequin = true, Team = true, IssueType = true }

-- Refuses a field below a value that `inputs` does not name (words separated by blanks; "" for no limit).
local function only_known(mutation, value, inputs)
  if type(value) ~= "table" or inputs == "" then return end
  for _, item in ipairs(value.items or {}) do only_known(mutation, item, inputs) end
  for key, inner in pairs(value.fields or {}) do
    if not key:find("^[%w_]+$") or not (" " .. inputs .. " "):find(" " .. key .. " ", 1, true) then
      refuse("field", mutation .. "." .. key:gsub("[^%w_]", "?"):sub(1, 60), "not_granted")
    end
    only_known(mutation, inner, inputs)
  end
end

-- Returns true if `wrong` holds for any field with this name below a value.
local function holds(value, name, wrong)
  if type(value) ~= "table" then return false end
  for _, item in ipairs(value.items or {}) do
    if holds(item, name, wrong) then return true end
  end
  for key, inner in pairs(value.fields or {}) do
    if key == name and wrong(inner) or holds(inner, name, wrong) then return true end
  end
  return false
end

local function forces(value) return value ~= false and value ~= NULL end

local function deletes(oid) return type(oid) ~= "string" or not oid:find("^%x+$") or not oid:find("[^0]") end

local BRANCHES = "refs/heads/"

local function no_branch(name) return not Branches.may_name(name) or name:sub(1, #BRANCHES) ~= BRANCHES end

local function no_name(name) return not Branches.may_name(name) end

-- The name of a branch without refs/heads/.
local function no_branch_name(name)
  return type(name) ~= "string" or name:find("^refs/") ~= nil or not Branches.may_name(BRANCHES .. name)
end

local function no_merge(method)
  if type(method) == "table" then method = method.enum end
  return method ~= NULL and (type(method) ~= "string" or method:upper() ~= "MERGE")
end

-- Refuses if one of the objects is a ref other than a branch, such as a tag.
local function only_branches(mutation, nodes)
  for _, id in ipairs(mutation.found.ids) do
    if GitHub.text_of(nodes[id], "prefix") ~= BRANCHES then refuse("not_branch", mutation.name, "not_granted") end
  end
end

-- Limits on mutations within a repository: only branches, tags and notes are created, branches may only be fast-forwarded. Guarded branches (branches.lua) may not be
-- deleted, and tags may not be moved or deleted.
local CAREFUL = {
  createRef = function(mutation)
    if holds(mutation.input, "name", no_name) then refuse("no_ref_in", "createRef", "not_granted") end
  end,
  createCommitOnBranch = function(mutation, nodes)
    only_branches(mutation, nodes)
    if holds(mutation.input, "branchName", no_branch_name) then refuse("not_branch", "createCommitOnBranch", "not_granted") end
  end,
  updateRef = function(mutation, nodes)
    only_branches(mutation, nodes)
    if holds(mutation.input, "force", forces) then refuse("force", "updateRef", "not_forward") end
  end,
  updateRefs = function(mutation)
    if holds(mutation.input, "name", no_branch) then refuse("not_branch", "updateRefs", "not_granted") end
    if holds(mutation.input, "force", forces) then refuse("force", "updateRefs", "not_forward") end
    if holds(mutation.input, "afterOid", deletes) then refuse("zero", "updateRefs", "not_granted") end
  end,
  updatePullRequestBranch = function(mutation, nodes, _, push) -- writes to the head; a rebase would rewrite it
    for _, id in ipairs(mutation.found.ids) do
      local head = GitHub.text_of(nodes[id], "headRepository", "nameWithOwner")
      if not head or not GitHub.fits(head, push) then refuse("head", mutation.name, "push_scope") end
    end
    if holds(mutation.input, "updateMethod", no_merge) then refuse("rebase", "updatePullRequestBranch", "not_forward") end
  end,
  deleteRef = function(mutation, nodes, errors)
    only_branches(mutation, nodes)
    for _, id in ipairs(mutation.found.ids) do
      local name = GitHub.text_of(nodes[id], "name")
      local default = GitHub.text_of(nodes[id], "repository", "defaultBranchRef", "name")
      if not name or not default then refuse("default", "deleteRef", "default_branch") end
      local why = Branches.why(name, default, nodes[id], errors)
      if why == "protected" then refuse("protected", "deleteRef", "protected_branch") end
      if why then refuse("default", "deleteRef", "default_branch") end
    end
  end,
}

-- Asks GitHub for the repository of each object, because only GitHub can decode its ids.
local QUERY = "query($ids:[ID!]!){nodes(ids:$ids){__typename ...on RepositoryNode{repository{nameWithOwner}} "
  .. "...on Repository{nameWithOwner} ...on Ref{name prefix " .. Branches.FIELDS .. " repository{nameWithOwner defaultBranchRef{name}}} "
  .. "...on Label{repository{nameWithOwner}} "
  .. "...on Milestone{repository{nameWithOwner}} ...on PullRequestReviewThread{repository{nameWithOwner}} "
  .. "...on PullRequest{headRepository{nameWithOwner}} ...on LinkedBranch{ref{repository{nameWithOwner}}} ...on DiscussionComment{discussion{repository{nameWithOwner}}}}}"

local function ask(ids, host, path, socket)
  local list = {}
  for number, id in ipairs(ids) do list[number] = Json.quote(id) end
  local data, errors = GitHub.ask(QUERY, '{"ids":[' .. table.concat(list, ",") .. "]}", host, path, socket)
  local nodes = data.fields and data.fields.nodes
  if type(nodes) ~= "table" or not nodes.items or #nodes.items ~= #ids then
    refuse(nil, nil, "unanswered")
  end
  return nodes.items, errors
end

-- Returns the text of a string of which Reader:value has kept the escapes (or a block string, which has none here).
local function text_of(value)
  if not value.written or value.block then return value.written end
  local fine, text = pcall(Json.read, '"' .. value.written:gsub("\t", "\\t") .. '"')
  if not fine then refuse("string") end
  return text
end

-- Returns true if a query could contain a mutation, even for a parser that first drops all but printable ASCII.
local function may_write(query)
  local squeezed = query:gsub("[^\32-\126\t\r\n]", "")
  return query:find(WORD) or squeezed:find(WORD)
end

-- Asks about objects. An unanswered question names the first mutation, which may have been an attempt to write elsewhere.
local function looked_up(look_up, ids, name)
  local fine, list, errors = pcall(look_up, ids)
  if fine then return list, errors end
  if refused(list) and list.verdict == "unanswered" then refuse("undecided", name, "unanswered") end
  error(list, 0)
end

-- Refuses a request that may not pass. Returns what it writes, for the log; nil if it only reads. Looks up all objects in one query, even for a hundred mutations.
-- `allowed` are the repositories to which text may refer (references.lua); nil if text is not read.
local function judge(body, push, known, inputs, allowed, look_up)
  -- Ruby may drop invalid UTF-8 (including surrogates) from within a word.
  if not utf8.len(body) or body:find("\xED[\xA0-\xBF]") then refuse("not_utf8") end
  local request = Json.read(body)
  if type(request) ~= "table" or not request.fields then refuse("not_object") end
  for key in pairs(request.fields) do
    if key ~= "query" and key ~= "variables" and key ~= "operationName" then refuse("members") end
  end
  local query, variables = request.fields.query, request.fields.variables
  if type(query) ~= "string" then refuse("no_query") end
  if variables == nil or variables == NULL then variables = { fields = {} } end
  if type(variables) ~= "table" or not variables.fields then refuse("variables") end
  if query:find("[\0-\8\11\12\14-\31\127]") then refuse("character") end
  if not may_write(query) then return end
  local all, wanted = mutations(query, variables), { ids = {}, repositories = {} }
  for _, mutation in ipairs(all) do
    if not (" " .. known .. " "):find(" " .. mutation.name .. " ", 1, true) then
      refuse("mutation", mutation.name:sub(1, 60), "not_granted")
    end
    only_known(mutation.name, mutation.input, inputs)
    if allowed then References.check_value(mutation.input, allowed, text_of) end
    mutation.found = { ids = {}, repositories = {} }
    collect(mutation.input, mutation.found)
    collect(mutation.input, wanted)
    if #mutation.found.ids + #mutation.found.repositories == 0 then refuse("no_object", mutation.name) end
    if #wanted.ids > MAX_OBJECTS then refuse("many_objects", mutation.name) end
  end
  local nodes, list, errors = {}, {}, false
  if #wanted.ids > 0 then list, errors = looked_up(look_up, wanted.ids, all[1].name) end
  for number, node in ipairs(list) do nodes[wanted.ids[number]] = node end
  local written = {}
  for _, mutation in ipairs(all) do
    local inside
    for _, repository in ipairs(mutation.found.repositories) do
      if not GitHub.fits(repository, push) then refuse("elsewhere", mutation.name, "push_scope") end
      inside = repository
    end
    for _, id in ipairs(mutation.found.ids) do
      local node = nodes[id]
      if not HARMLESS[GitHub.text_of(node, "__typename") or ""] then
        local repository = GitHub.text_of(node, "nameWithOwner")
          or GitHub.text_of(node, "repository", "nameWithOwner")
          or GitHub.text_of(node, "ref", "repository", "nameWithOwner")
          or GitHub.text_of(node, "discussion", "repository", "nameWithOwner")
        if not repository or not GitHub.fits(repository, push) then refuse("elsewhere", mutation.name, "push_scope") end
        inside = repository
      end
    end
    if not inside then refuse("no_object", mutation.name) end
    if CAREFUL[mutation.name] then CAREFUL[mutation.name](mutation, nodes, errors, push) end
    written[#written + 1] = mutation.name .. " in " .. inside:gsub("[^%w._/-]", "?")
  end
  return #written > 0 and table.concat(written, ", ", 1, math.min(#written, MAX_NAMED)) or nil
end

core.register_action("graphql_scope", { "http-req" }, function(txn)
  local body = txn.sf:req_body() or ""
  local function of(name) return txn:get_var("txn." .. name) or "" end
  decide(txn, "graphql", function()
    if tostring(#body) ~= txn.sf:req_hdr("content-length") then
      refuse("length")
    end
    local allowed = txn:get_var("txn.references")
    local written = judge(body, of("graphql_push"), of("graphql_mutations"), of("graphql_inputs"), allowed, function(ids)
      return ask(ids, of("name"), of("graphql_path"), of("graphql_ask"))
    end)
    if written then txn:set_var("txn.wrote", written) end
  end)
end)
