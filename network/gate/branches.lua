-- Decides which branches are guarded: the default branch, and those with branch protection or a ruleset at GitHub. The gate lets
-- nobody delete them. Loaded by the gate after github.lua (rules: network/gate/scope.py).
-- Source: GitHub's GraphQL reference (Repository.defaultBranchRef, Ref.refUpdateRule, Ref.rules).
--
-- The action `deletable_branch` decides (json.lua) through txn.branch if a branch may be deleted through GitHub's REST API. It reads
-- txn.path (txn.below, then /OWNER/REPO, txn.branches and the branch name), txn.name (the host), txn.graphql_path and
-- txn.graphql_ask (the socket).

local HEADS = "refs/heads/"

Branches = {
  -- The fields of a Ref that `why` reads.
  FIELDS = "refUpdateRule{pattern} rules(first:1){totalCount}",
}

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

core.register_action("deletable_branch", { "http-req" }, function(txn)
  local function of(name) return txn:get_var("txn." .. name) or "" end
  decide(txn, "branch", function()
    judge(of("path"), of("below"), of("branches"), function(owner, name, ref)
      return Branches.guarded(owner, name, { ref }, of("name"), of("graphql_path"), of("graphql_ask"))[ref]
    end)
  end)
end)
