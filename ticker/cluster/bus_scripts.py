"""What Redis does for the bus in one step each: scripts in Lua, called by `bus`.

Rules for this module: a script compares before it writes anything, since Lua has no way back.
"""

from __future__ import annotations

from typing import Final

#: Keys: lease, term, head. Arguments: node, lease in ms, the highest term the node knows.
ELECT: Final = """
local lease = redis.call('GET', KEYS[1])
if lease and string.match(lease, '^[^ ]+') ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[1]), 0}
end
local now = redis.call('TIME')
local term = now[1] * 1000 + math.floor(now[2] / 1000)
local last = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), tonumber(ARGV[3]))
if term <= last then term = last + 1 end
term = string.format('%.0f', term)
redis.call('SET', KEYS[2], term)
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. term, 'PX', ARGV[2])
return {1, term, redis.call('GET', KEYS[3]) or '0'}
"""
#: Keys: lease, term, head, log, snapshot. Arguments: node, term, lease in ms, number, payload,
#: entries to keep, snapshot or nothing.
PUBLISH: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return {0, '', 0} end
local mine = ARGV[1] .. ' ' .. ARGV[2]
local lease = redis.call('GET', KEYS[1])
-- After data was lost one term may have been given twice: then the holder of the lease feeds.
if lease and lease ~= mine then return {0, '', 0} end
redis.call('SET', KEYS[1], mine, 'PX', ARGV[3])
local head = redis.call('GET', KEYS[3]) or '0'
if tonumber(ARGV[4]) > tonumber(head) then redis.call('SET', KEYS[3], ARGV[4]) end
local place = redis.call('XADD', KEYS[4], 'MAXLEN', '~', ARGV[6], '*', 'm', ARGV[5])
if ARGV[7] ~= '' then redis.call('SET', KEYS[5], ARGV[7]) end
return {1, place, head}
"""
#: Keys: term, head. Arguments: the highest of each that a node knows.
MEET: Final = """
for at = 1, 2 do
  if tonumber(ARGV[at]) > tonumber(redis.call('GET', KEYS[at]) or '0') then
    redis.call('SET', KEYS[at], ARGV[at])
  end
end
return 1
"""
#: Keys: lease, log. Arguments: node, term, last payload.
RESIGN: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ' ' .. ARGV[2] then return 0 end
redis.call('XADD', KEYS[2], '*', 'm', ARGV[3])
return redis.call('DEL', KEYS[1])
"""
#: Key: nodes. Arguments: node, what it says, after how many seconds one is forgotten.
REGISTER: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local nodes = redis.call('HGETALL', KEYS[1])
for at = 1, #nodes, 2 do
  local said = tonumber(string.match(nodes[at + 1], '^%d+'))
  if said + tonumber(ARGV[3]) < now then redis.call('HDEL', KEYS[1], nodes[at]) end
end
return 1
"""
