-- netguard decides which requests HAProxy serves (2.6 or newer, with Lua). In the configuration:
--
--     global
--         lua-load /etc/haproxy/netguard.lua http://127.0.0.1:9465
--     frontend www
--         http-request lua.netguard
--         http-response lua.netguard-report   # netguard learns how requests end; leave it out if it is not to
--
-- Where netguard does not answer, requests are served, and the variable txn.netguard_answer is "unreachable":
--     http-request deny deny_status 503 if { var(txn.netguard_answer) -m str unreachable }
-- refuses them instead.

local arguments = table.pack(...)
local endpoint = arguments[1] or "http://127.0.0.1:9465"
-- Milliseconds.
local patience = 500

-- What belongs to a connection and not to a request, and what is said anew.
local left_out = {
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true,
    ["x-forwarded-for"] = true, ["x-forwarded-proto"] = true, ["x-original-method"] = true, ["x-original-uri"] = true,
    ["x-netguard-answer"] = true, ["x-netguard-status"] = true,
}

local function values(of)
    local list = {}
    for at = 0, #of do
        if of[at] ~= nil then list[#list + 1] = of[at] end
    end
    return list
end

-- Whom it is about: the address that HAProxy itself sees stands last.
local function chain(headers, address)
    local said = headers["x-forwarded-for"]
    local list = said and values(said) or {}
    list[#list + 1] = address
    return { table.concat(list, ", ") }
end

local function ask(txn)
    local received = txn.http:req_get_headers()
    local headers = {}
    for name, of in pairs(received) do
        if not left_out[name] then headers[name] = values(of) end
    end
    local address = txn.f:src()
    headers["x-forwarded-for"] = chain(received, address)
    headers["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" }
    headers["x-original-method"] = { txn.f:method() }
    headers["x-original-uri"] = { txn.sf:pathq() }
    txn:set_var("txn.netguard_client", headers["x-forwarded-for"][1])

    local answer = core.httpclient():get { url = endpoint .. "/v1/check", headers = headers, timeout = patience }
    local said = answer and answer.headers and answer.headers["x-netguard-answer"]
    if not said then
        txn:set_var("txn.netguard_answer", "unreachable")
        return
    end
    txn:set_var("txn.netguard_answer", said[0])
    if answer.status == 200 then return end

    -- What netguard says is what the client gets: a page of work, when to come again, where to go.
    local back = {}
    for name, of in pairs(answer.headers) do
        if not left_out[name] then back[name] = values(of) end
    end
    txn:done(txn:reply { status = answer.status, headers = back, body = answer.body or "" })
end

local function report(txn)
    local client = txn:get_var("txn.netguard_client")
    if not client then return end
    core.httpclient():get {
        url = endpoint .. "/v1/report",
        headers = {
            ["x-forwarded-for"] = { client },
            ["x-netguard-answer"] = { txn:get_var("txn.netguard_answer") or "" },
            ["x-netguard-status"] = { tostring(txn.f:status()) },
        },
        timeout = patience,
    }
end

core.register_action("netguard", { "http-req" }, ask)
core.register_action("netguard-report", { "http-res" }, report)
