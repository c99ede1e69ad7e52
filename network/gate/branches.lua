-- Decides which branches are guarded: the default branch, and those with branch protection or a ruleset at GitHub. The gate lets
-- nobody delete them. Loaded by the gate after github.lua (rules: network/gate/scope.py).
-- Source: GitHub's GraphQL reference (Repository.defaultBranchRef, Ref.refUpdateRule, Ref.rules).
--
-- The action `own_head` decides through txn.own_head if a pull request's branch may be updated: it must be in a repository that may be
-- pushed to (txn.graphql_push), not in somebody's fork. txn.path is txn.below, then /OWNER/REPO/pulls/NUMBER/update-branch.
-- The action `new_ref` decides (json.lua) through txn.new_ref if a request may create a ref through GitHub's REST API.
-- The action `deletable_branch` decides (json.lua) through txn.branch if a branch may be deleted through GitHub's REST API. It reads
-- txn.path (txn.below, then /OWNER/REPO, txn.branches and the branch name), txn.name (the host), txn.graphql_path and
-- txn.graphql_ask (the socket).

local HEADS = "refs/heads/"

Branches = {
  -- The fields of a Ref that `why` reads.
  FIELDS = "refUpdateRule{pattern} rules(first:1){totalCount}",
}

-- Returns true for the name of a branch, a tag or notes. GitHub keeps other refs for itself, or does not show them.
function Branches.may_name(name)
  if type(name) ~= "string" or name:find("%.%.") or name:find("/[/.]") or name:find("[^\33-\126\128-\255]") then return false end
  return name:find("^refs/heads/.") ~= nil or name:find("^refs/tags/.") ~= nil or name:find("^refs/notes/.") ~= nil
end

-- Refuses the body of a request that creates a ref (REST), unless it names a branch, a tag or notes, and has nothing else.
function Branches.new_ref(body)
  Members.judge(body, "ref sha")
  local ref = Json.read(body).fields.ref
  if not Branches.may_name(ref) then
    refuse("no_ref", type(ref) == "string" and ref:gsub("[^%w%._/-]", "?"):sub(1, 100) or "ref", "not_granted")
  end
end

-- Returns why a branch is guarded: "default", "protected" or nil. `default` is the default branch's name, `ref` the branch at GitHub (nil if
-- it has none), and `uncertain` is true if GitHub's answer has errors: a protection that it does not show reads like none.
function Branches.why(name, default, ref, uncertain)
  if name:lower() == default:lower() then return "default" end
  if uncertain then return "protected" end
  local fields = type(ref) == "table" and ref.fields
  if not fields then return nil end
  local rules = type(fields.rules) == "table" and fields.rules.fields
  if fields.refUpdateRule ~= Json.NULL or not rules or rules.totalCount ~= 0 then return "protected" end
  return nil
end

-- Asks GitHub, and returns why each branch is guarded, by its name with refs/heads/. Others are absent.
function Branches.guarded(owner, name, refs, host, path, socket)
  local names, variables, fields = "", "", ""
  for number, ref in ipairs(refs) do
    names = ("%s,$r%d:String!"):format(names, number)
    variables = ('%s,"r%d":%s'):format(variables, number, Json.quote(ref))
    fields = ("%s r%d:ref(qualifiedName:$r%d){%s}"):format(fields, number, number, Branches.FIELDS)
  end
  local query = ("query($owner:String!,$name:String!%s){repository(owner:$owner,name:$name){defaultBranchRef{name}%s}}"):format(names, fields)
  variables = ('{"owner":%s,"name":%s%s}'):format(Json.quote(owner), Json.quote(name), variables)
  local data, errors = GitHub.ask(query, variables, host, path, socket)
  local default = GitHub.text_of(data, "repository", "defaultBranchRef", "name")
  if not default then refuse("default_branch", nil, "unanswered") end
  local found = {}
  for number, ref in ipairs(refs) do
    found[ref] = Branches.why(ref:sub(#HEADS + 1), default, data.fields.repository.fields["r" .. number], errors)
  end
  return found
end

local function judge(path, below, branches, look_up)
  local owner, name, rest = path:sub(#below + 1):match("^/([^/]+)/([^/]+)(/.+)$")
  if not owner or rest:sub(1, #branches):lower() ~= branches:lower() then refuse("branch") end
  local why = look_up(owner, (name:gsub("%.git$", "")), HEADS .. rest:sub(#branches + 1))
  if why == "protected" then refuse(nil, nil, "protected_branch") end
  if why then refuse(nil, nil, "default_branch") end
end

-- Refuses a pull request whose branch is in another repository, which an update would write to.
function Branches.own_head(owner, name, number, push, ask)
  local query = "query($owner:String!,$name:String!,$number:Int!){repository(owner:$owner,name:$name)"
    .. "{pullRequest(number:$number){headRepository{nameWithOwner}}}}"
  local data = ask(query, ('{"owner":%s,"name":%s,"number":%s}'):format(Json.quote(owner), Json.quote(name), number))
  local head = GitHub.text_of(data, "repository", "pullRequest", "headRepository", "nameWithOwner")
  if not head or not GitHub.fits(head, push) then refuse("head", "pull request " .. number, "push_scope") end
end

core.register_action("own_head", { "http-req" }, function(txn)
  local function of(name) return txn:get_var("txn." .. name) or "" end
  decide(txn, "own_head", function()
    local owner, name, number = of("path"):sub(#of("below") + 1):match("^/([^/]+)/([^/]+)/[^/]+/(%d+)/[^/]+$")
    if not number or #number > 10 then refuse("branch") end
    Branches.own_head(owner, (name:gsub("%.git$", "")), number, of("graphql_push"), function(query, variables)
      return GitHub.ask(query, variables, of("name"), of("graphql_path"), of("graphql_ask"))
    end)
  end)
end)

core.register_action("new_ref", { "http-req" }, function(txn)
  decide(txn, "new_ref", function() Branches.new_ref(Members.body(txn)) end)
end)

core.register_action("deletable_branch", { "http-req" }, function(txn)
  local function of(name) return txn:get_var("txn." .. name) or "" end
  decide(txn, "branch", function()
    judge(of("path"), of("below"), of("branches"), function(owner, name, ref)
      return Branches.guarded(owner, name, { ref }, of("name"), of("graphql_path"), of("graphql_ask"))[ref]
    end)
  end)
end)
